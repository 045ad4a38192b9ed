"""From a decoder's numbers to parameters that neither overflow nor reach 0."""

import tensorflow as tf

__all__ = ["MAX_LOG_RATE", "capped", "positive", "unstacked"]

MAX_LOG_RATE = 30.0
_LEAST = 1e-3


def capped(values: tf.Tensor, most: float) -> tf.Tensor:
    """Returns `min(values, most)`, whose gradient is 1 everywhere: it leads back from beyond."""
    return values - tf.stop_gradient(values - tf.minimum(values, most))


def positive(values: tf.Tensor) -> tf.Tensor:
    """Returns numbers above 1e-3: `softplus(values) + 1e-3`."""
    return tf.math.softplus(values) + _LEAST


def unstacked(parameters: tf.Tensor, number: int, event_rank: int) -> list[tf.Tensor]:
    """Takes `[..., number, *event_shape]` apart into `number` tensors `[..., *event_shape]`."""
    return tf.unstack(parameters, number, axis=-1 - event_rank)
