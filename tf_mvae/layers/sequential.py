"""A stack of layers that hands the mask over examples to those that want it."""

import inspect
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.errors import UserError
from tf_mvae.layers.batch_normalization import MaskedBatchNormalization
from tf_mvae.ops.replicas import may_be_empty

__all__ = ["MaskedSequential", "call_network", "check_network", "flat"]

# How Keras begins to say that a layer takes no input of a shape; an array's numbers may precede.
_WRONG_SHAPE = re.compile(
    r"expected (?:shape|ndim|min_ndim|max_ndim|axis)[^\n\x1b]*"
    r"|Expected shape [^\n\x1b]*"
    r"|The total size of the tensor must be unchanged[^\n\x1b]*"
    r"|Computed output size would be zero or negative"
)


def _accepts(layer: keras.layers.Layer, argument: str) -> bool:
    return argument in inspect.signature(layer.call).parameters


def call_network(
    network: keras.layers.Layer,
    inputs: tf.Tensor,
    mask: tf.Tensor,
    training: bool,
    what: str | None = None,
) -> tf.Tensor:
    """Calls an encoder or a decoder with the arguments that it takes.

    Args:
        network: Any Keras layer or model.
        inputs: `[batch, ...]`.
        mask: `[batch]`, 1 where a row counts. This package's layers get it, as
            `example_mask`: Keras' own `mask` is one of time steps.
        training: Whether this is a training step.
        what: What messages call it; default: the network, with its name.

    Raises:
        UserError: It takes inputs of another shape, or returns several tensors.
    """
    if may_be_empty() and len(mask.shape) == 1:
        return _called_with_a_row(network, inputs, mask, training)
    what = what or f"the network {network.name!r}"
    try:
        outputs = _called(network, inputs, mask, training)
    except ValueError as error:
        found = _WRONG_SHAPE.search(str(error))
        if isinstance(error, UserError) or found is None:
            raise
        wanted = _wanted_shape(network) or "other shapes"
        raise UserError(
            f"{what} takes inputs of {wanted} for an example, and gets {list(inputs.shape[1:])} "
            f"({found[0].strip()})"
        ) from error
    if isinstance(outputs, tuple | list | dict):
        raise UserError(
            f"{what} returns a {type(outputs).__name__}; an encoder or a "
            "decoder returns one tensor: give keras.Model(network.inputs, ONE_OUTPUT)"
        )
    return outputs


def _wanted_shape(network: keras.layers.Layer) -> list[int | None] | None:
    """Returns the shape of one example's input; None if the network does not know it."""
    try:
        return list(network.input_shape[1:])
    except (AttributeError, TypeError):  # of a layer, or of a model of several inputs
        return None


def _called_with_a_row(
    network: keras.layers.Layer, inputs: tf.Tensor, mask: tf.Tensor, training: bool
) -> tf.Tensor:
    """Calls a network, with a row that does not count if there is none.

    TensorFlow's convolutions of no row return tensors of wrong shapes on CPUs.
    """
    rows = tf.shape(inputs)[0]
    missing = tf.maximum(1 - rows, 0)

    def at_least_one(tensor):
        shape = tf.concat([[missing], tf.shape(tensor)[1:]], 0)
        return tf.concat([tensor, tf.zeros(shape, tensor.dtype)], 0)

    return _called(network, at_least_one(inputs), at_least_one(mask), training)[:rows]


def _called(
    network: keras.layers.Layer, inputs: tf.Tensor, mask: tf.Tensor, training: bool
) -> tf.Tensor:
    arguments: dict[str, Any] = {"training": training} if _accepts(network, "training") else {}
    if isinstance(network, MaskedSequential | MaskedBatchNormalization):
        arguments["example_mask"] = mask
    return network(inputs, **arguments)


def check_network(name: str, network: Any) -> keras.layers.Layer:
    """Returns a network if it is a Keras layer or model.

    Args:
        name: The argument's name, for the message.
        network: The network that a user passed.

    Raises:
        UserError: It is something else: a function, a layer's class.
    """
    if isinstance(network, keras.layers.Layer):
        return network
    raise UserError(
        f"{name} must be a Keras layer or model, such as one that tf_mvae.layers.mlp_encoder() "
        f"makes; it is {network!r}"
    )


def flat(features: tf.Tensor) -> tf.Tensor:
    """Returns features as `[batch, size]`, with a static size, whatever their shape."""
    return tf.reshape(features, [tf.shape(features)[0], math.prod(features.shape[1:])])


@keras.saving.register_keras_serializable("tf_mvae")
class MaskedSequential(keras.layers.Layer):
    """Like `keras.Sequential`, but a layer such as batch norm sees which examples count.

    Example:

    ```python
    encoder = MaskedSequential([
        keras.layers.Dense(64), MaskedBatchNormalization(), keras.layers.Activation("silu")])
    encoder(tf.zeros([4, 10]), example_mask=tf.constant([1.0, 1.0, 0.0, 1.0]))   # [4, 64]
    ```
    """

    def __init__(self, layers: Sequence[keras.layers.Layer], **kwargs):
        """Creates the stack.

        Args:
            layers: Applied in order; each takes and returns one tensor.
            **kwargs: Keras' own arguments for a layer.

        Raises:
            ValueError: One is not a Keras layer.
        """
        super().__init__(autocast=False, **kwargs)  # each layer casts its own inputs
        checks.instance("layers", layers, Iterable, "a list of Keras layers")
        self.layers = [check_network(f"layers[{i}]", layer) for i, layer in enumerate(layers)]

    def call(
        self, inputs: tf.Tensor, example_mask: tf.Tensor | None = None, training: bool = False
    ) -> tf.Tensor:
        """Applies the layers; `example_mask` is `[batch]`, 1 where a row counts."""
        if example_mask is None:
            example_mask = tf.ones(tf.shape(inputs)[:1])
        for layer in self.layers:
            inputs = _called(layer, inputs, example_mask, training)
        return inputs

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Builds every layer for inputs of `input_shape`."""
        for layer in self.layers:
            if not layer.built:
                layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple:
        """Returns the last layer's output shape."""
        for layer in self.layers:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor arguments of this layer."""
        layers = [keras.saving.serialize_keras_object(layer) for layer in self.layers]
        return {**super().get_config(), "layers": layers}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "MaskedSequential":
        """Makes the stack from `get_config`'s answer."""
        layers = [keras.saving.deserialize_keras_object(layer) for layer in config["layers"]]
        return cls(**{**config, "layers": layers})
