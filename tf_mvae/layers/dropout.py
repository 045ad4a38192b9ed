"""Dropout whose random numbers depend only on the model's seed and step."""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.errors import UserError
from tf_mvae.ops import random

__all__ = ["SeededDropout", "layer_seeds", "next_seed"]

_STREAM: contextvars.ContextVar[list | None] = contextvars.ContextVar("stream", default=None)


@contextlib.contextmanager
def layer_seeds(seed: tf.Tensor) -> Iterator[None]:
    """Gives each layer that is called inside its own seed, in the order of the calls.

    Args:
        seed: Two integers; a model's are those of its step.
    """
    token = _STREAM.set([seed, 0])
    try:
        yield
    finally:
        _STREAM.reset(token)


def next_seed(name: str) -> tf.Tensor:
    """Returns the next seed of those that `layer_seeds` gives.

    Args:
        name: The layer that asks.

    Raises:
        ValueError: It is called outside `layer_seeds`.
    """
    stream = _STREAM.get()
    if stream is None:
        raise ValueError(f"{name}: dropout in training needs a seed; see layer_seeds")
    stream[1] += 1
    return random.fold_in(*stream)


@keras.saving.register_keras_serializable("tf_mvae")
class SeededDropout(keras.layers.Layer):
    """Sets a fraction of the features to 0 in training, and scales the rest up.

    `keras.layers.Dropout` keeps a generator whose state no checkpoint holds, and draws
    other numbers when XLA compiles it. This layer's numbers follow from the seed of the
    training step (`layer_seeds`), so that a resumed run repeats none and skips none.

    Example:

    ```python
    with layer_seeds(tf.constant([0, 1])):
        SeededDropout(0.1)(tf.ones([4, 8]), training=True)
    ```
    """

    def __init__(self, rate: float, **kwargs):
        """Creates the layer.

        Raises:
            ValueError: `rate` is not in [0, 1).
        """
        super().__init__(**kwargs)
        self.rate = checks.non_negative("rate", rate)
        if self.rate >= 1:
            raise UserError(f"rate must be in [0, 1); it is {rate!r}")
        self.built = True

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns `inputs` as they are, or with features dropped in training.

        Raises:
            ValueError: It is called in training outside `layer_seeds`.
        """
        if not training or not self.rate:
            return inputs
        uniform = random.stateless_uniform(tf.shape(inputs), next_seed(self.name))
        keep = tf.cast(uniform >= self.rate, inputs.dtype)
        return inputs * keep / tf.cast(1 - self.rate, inputs.dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple:
        """Returns the same shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor arguments of this layer."""
        return {**super().get_config(), "rate": self.rate}
