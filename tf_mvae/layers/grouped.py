"""Networks of many similar modalities with separate weights, as batched matrix products."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.layers.mlp import widths
from tf_mvae.layers.sequential import MaskedSequential

__all__ = ["GroupedDense", "GroupedEmbedding", "grouped_mlp_decoder", "grouped_mlp_encoder"]


class _Grouped(keras.layers.Layer):
    """A layer that every member of a group has for itself; the members come first."""

    def __init__(self, units: int, activation: str | None = None, **kwargs):
        super().__init__(**kwargs)
        self.units = checks.positive_integer("units", units)
        self.activation = keras.activations.get(activation)

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple:
        """Returns `(member, batch, units)`."""
        return (*input_shape[:2], self.units)

    def _kernel(self, members: int, rows: int, limit: float) -> keras.Variable:
        """Adds one matrix a member, uniform in [-limit, limit].

        Keras' own initialisers would take the members for an image's pixels.
        """
        uniform = keras.initializers.RandomUniform(-limit, limit)
        return self.add_weight(
            name="kernel", shape=(members, rows, self.units), initializer=uniform
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor arguments of this layer."""
        activation = keras.activations.serialize(self.activation)
        return {**super().get_config(), "units": self.units, "activation": activation}


@keras.saving.register_keras_serializable("tf_mvae")
class GroupedDense(_Grouped):
    """One fully connected layer for each member of a group, in one batched matrix product.

    Weights start as those of `keras.layers.Dense` do, for each member by itself.

    Example:

    ```python
    GroupedDense(4, "silu")(tf.zeros([18, 100, 8])).shape   # [18, 100, 4]
    ```
    """

    def build(self, input_shape: tuple[int, ...]) -> None:
        """Makes a kernel `[member, inputs, units]` and a bias `[member, 1, units]`."""
        members, inputs = input_shape[0], math.prod(input_shape[2:])
        self.kernel = self._kernel(members, inputs, math.sqrt(6 / (inputs + self.units)))
        self.bias = self.add_weight(
            name="bias", shape=(members, 1, self.units), initializer="zeros"
        )
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns `[member, batch, units]` from `[member, batch, ...]`."""
        members, features, _ = self.kernel.shape
        inputs = tf.reshape(inputs, [members, tf.shape(inputs)[1], features])
        return self.activation(tf.matmul(inputs, self.kernel) + self.bias)


@keras.saving.register_keras_serializable("tf_mvae")
class GroupedEmbedding(_Grouped):
    """One embedding for each member of a group of class (or yes-or-no) modalities.

    Example:

    ```python
    GroupedEmbedding(2, 512)(tf.zeros([18, 100])).shape   # [18, 100, 512]
    ```
    """

    def __init__(self, num_classes: int, units: int, activation: str | None = None, **kwargs):
        """Creates the layer for classes 0 to `num_classes - 1`.

        Raises:
            ValueError: A number is not an integer of 1 or more.
        """
        super().__init__(units, activation, **kwargs)
        self.num_classes = checks.positive_integer("num_classes", num_classes)

    def build(self, input_shape: tuple[int, ...]) -> None:
        """Makes a table `[member, classes, units]`."""
        self.kernel = self._kernel(input_shape[0], self.num_classes, 0.05)
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns `[member, batch, units]` from classes `[member, batch]`."""
        classes = tf.cast(inputs, tf.int32)
        one_hot = tf.one_hot(classes, self.num_classes, dtype=self.compute_dtype)
        return self.activation(tf.matmul(one_hot, self.kernel))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor arguments of this layer."""
        return {**super().get_config(), "num_classes": self.num_classes}


def grouped_mlp_encoder(
    units: Sequence[int] = (512, 512),
    num_classes: int | None = None,
    activation: str = "silu",
) -> MaskedSequential:
    """Returns `mlp_encoder` for every member of a group, for `ModalityGroup(encoder=...)`.

    Args:
        units: Widths of the layers.
        num_classes: For classes, or for yes and no (2), how many there are: the first layer
            is then an embedding.
        activation: Keras' name of the activation.

    Returns:
        A layer from `[member, batch, ...]` to `[member, batch, units[-1]]`.

    Example:

    ```python
    grouped_mlp_encoder([512, 512], num_classes=2)(tf.zeros([18, 100])).shape   # [18, 100, 512]
    ```
    """
    units = widths(units)
    if num_classes is None:
        first = GroupedDense(units[0], activation)
    else:
        first = GroupedEmbedding(num_classes, units[0], activation)
    return MaskedSequential([first, *(GroupedDense(n, activation) for n in units[1:])])


def grouped_mlp_decoder(
    parameter_shape: Sequence[int],
    units: Sequence[int] = (512, 512, 512),
    activation: str = "silu",
) -> MaskedSequential:
    """Returns `mlp_decoder` for every member of a group, for `ModalityGroup(decoder=...)`.

    Args:
        parameter_shape: The shape of a member's parameters, `likelihood.parameter_shape`.
        units: Widths of the hidden layers.
        activation: Keras' name of the activation.

    Returns:
        A layer from `[member, batch, latent]` to `[member, batch, numbers]`.

    Example:

    ```python
    grouped_mlp_decoder([], [512])(tf.zeros([18, 100, 64])).shape   # [18, 100, 1]
    ```
    """
    last = GroupedDense(math.prod(checks.shape("parameter_shape", parameter_shape)))
    return MaskedSequential([*(GroupedDense(n, activation) for n in widths(units, 0)), last])
