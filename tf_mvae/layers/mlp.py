"""Fully connected encoder and decoder networks."""

import math
from collections.abc import Sequence

import keras
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.errors import UserError
from tf_mvae.layers.sequential import MaskedSequential

__all__ = ["LogCounts", "default_width", "mlp_decoder", "mlp_encoder"]


@keras.saving.register_keras_serializable("tf_mvae")
class LogCounts(keras.layers.Layer):
    """Takes `log(1 + x)` of counts, so that large ones do not saturate the layers behind it.

    Example:

    ```python
    LogCounts()(tf.constant([[0.0, 500.0]]))   # [[0.0, 6.22]]
    ```
    """

    def __init__(self, **kwargs):
        """Creates the layer; it has no weights."""
        super().__init__(autocast=False, **kwargs)  # float16 holds no count above 65,504
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns a tensor of the shape of `inputs`, which holds numbers of 0 or more."""
        return tf.cast(tf.math.log1p(tf.cast(inputs, tf.float32)), self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple:
        """Returns the same shape."""
        return input_shape


def default_width(size: int) -> int:
    """Returns the width of default layers between `size` numbers and a latent.

    It is 8 times the size, rounded up to a power of two, at least 64 and at most 512: 64 for up
    to 8 numbers, 128 for up to 16, 512 from 33 on.

    Args:
        size: The number of inputs or outputs; for a class, the number of classes.
    """
    return min(512, max(64, 2 ** math.ceil(math.log2(8 * size))))


def mlp_encoder(
    units: Sequence[int] = (512, 512),
    num_classes: int | None = None,
    activation: str = "silu",
) -> MaskedSequential:
    """Returns a network from one modality to features, for `Modality(encoder=...)`.

    The paper's: 784-512-512 for MNIST's image, embed(10, 512)-512 for its label,
    Swish after each layer.

    Args:
        units: Widths of the layers.
        num_classes: For a categorical modality, the number of classes: the first
            layer is then an embedding.
        activation: Keras' name of the activation.

    Returns:
        A layer from `[batch, ...]` (or `[batch]` integers) to `[batch, units[-1]]`.

    Raises:
        ValueError: A width or `num_classes` is not an integer of 1 or more.

    Example:

    ```python
    mlp_encoder([512, 512])(tf.zeros([4, 28, 28, 1])).shape   # [4, 512]
    ```
    """
    units = widths(units)
    if num_classes is None:
        layers = [keras.layers.Flatten(), keras.layers.Dense(units[0], activation)]
    else:
        layers = [
            keras.layers.Embedding(checks.positive_integer("num_classes", num_classes), units[0]),
            keras.layers.Activation(activation),
        ]
    return MaskedSequential([*layers, *(keras.layers.Dense(n, activation) for n in units[1:])])


def mlp_decoder(
    parameter_shape: Sequence[int],
    units: Sequence[int] = (512, 512, 512),
    activation: str = "silu",
) -> MaskedSequential:
    """Returns a network from a latent to a likelihood's parameters.

    The paper's for MNIST: three layers of 512 with Swish, then a linear one.

    Args:
        parameter_shape: The shape of the likelihood's parameters, `likelihood.parameter_shape`.
        units: Widths of the hidden layers.
        activation: Keras' name of the activation.

    Returns:
        A layer from `[batch, latent]` to `[batch, *parameter_shape]`.

    Raises:
        ValueError: A size is not an integer of 1 or more.

    Example:

    ```python
    mlp_decoder([28, 28, 1])(tf.zeros([4, 64])).shape   # [4, 28, 28, 1]
    ```
    """
    units, parameter_shape = widths(units, 0), checks.shape("parameter_shape", parameter_shape)
    return MaskedSequential(
        [
            *(keras.layers.Dense(n, activation) for n in units),
            keras.layers.Dense(math.prod(parameter_shape)),
            keras.layers.Reshape(parameter_shape),
        ]
    )


def widths(units: Sequence[int], minimum: int = 1, name: str = "units") -> tuple[int, ...]:
    """Returns the widths of layers.

    Raises:
        ValueError: A width is not an integer of 1 or more, or there are fewer than `minimum`.
    """
    found = checks.shape(name, units)
    if len(found) < minimum:
        raise UserError(f"{name} must hold at least {minimum} integers; it is {units!r}")
    return found
