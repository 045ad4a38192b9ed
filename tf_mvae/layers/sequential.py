"""A stack of layers that hands the mask over examples to those that want it."""

import inspect
import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mvae.layers.batch_normalization import MaskedBatchNormalization

__all__ = ["MaskedSequential", "call_network", "flat"]


def _accepts(layer: keras.layers.Layer, argument: str) -> bool:
    return argument in inspect.signature(layer.call).parameters


def call_network(
    network: keras.layers.Layer, inputs: tf.Tensor, mask: tf.Tensor, training: bool
) -> tf.Tensor:
    """Calls an encoder or a decoder with the arguments that it takes.

    Args:
        network: Any Keras layer or model.
        inputs: `[batch, ...]`.
        mask: `[batch]`, 1 where a row counts. This package's layers get it, as
            `example_mask`: Keras' own `mask` is one of time steps.
        training: Whether this is a training step.
    """
    arguments: dict[str, Any] = {"training": training} if _accepts(network, "training") else {}
    if isinstance(network, MaskedSequential | MaskedBatchNormalization):
        arguments["example_mask"] = mask
    return network(inputs, **arguments)


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
        """
        super().__init__(**kwargs)
        self.layers = list(layers)

    def call(
        self, inputs: tf.Tensor, example_mask: tf.Tensor | None = None, training: bool = False
    ) -> tf.Tensor:
        """Applies the layers; `example_mask` is `[batch]`, 1 where a row counts."""
        if example_mask is None:
            example_mask = tf.ones(tf.shape(inputs)[:1])
        for layer in self.layers:
            inputs = call_network(layer, inputs, example_mask, training)
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
        """Returns the arguments that make this layer again."""
        layers = [keras.saving.serialize_keras_object(layer) for layer in self.layers]
        return {**super().get_config(), "layers": layers}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "MaskedSequential":
        """Makes the stack from `get_config`'s answer."""
        layers = [keras.saving.deserialize_keras_object(layer) for layer in config["layers"]]
        return cls(**{**config, "layers": layers})
