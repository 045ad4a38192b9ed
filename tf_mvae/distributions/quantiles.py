"""Quantiles of distributions over single numbers."""

from collections.abc import Callable

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tf_mvae.errors import UserError

__all__ = ["bisected", "quantile"]

_BISECTIONS = 48  # halvings of a range of integers up to 2^48
_LARGEST = 2.0**47  # means are up to 2^43


def quantile(distribution: tfd.Distribution, probability: float | tf.Tensor) -> tf.Tensor:
    """Returns `min {x: P(X <= x) >= probability}` of each number.

    It is the distribution's own quantile function if it has one, and otherwise found by
    bisection over the integers from 0 on, for distributions of counts.

    Args:
        distribution: Of single numbers; its batch has any shape.
        probability: In (0, 1); broadcasts against the batch.

    Returns:
        Float32, of the batch's shape.

    Raises:
        UserError: It has neither quantiles nor a cumulative distribution function.
    """
    probability = tf.convert_to_tensor(probability, tf.float32)
    try:
        return tf.cast(distribution.quantile(probability), tf.float32)
    except NotImplementedError:
        pass
    try:
        return _of_counts(distribution.cdf, tf.shape(distribution.mean()), probability)
    except NotImplementedError as error:
        raise UserError(
            f"{distribution.name} has neither quantiles nor a cumulative distribution function; "
            "take quantiles of samples"
        ) from error


def _of_counts(
    cdf: Callable[[tf.Tensor], tf.Tensor], shape: tf.Tensor, probability: tf.Tensor
) -> tf.Tensor:
    """Bisects for the least count that has at least the probability below or at it."""
    shape = tf.broadcast_dynamic_shape(shape, tf.shape(probability))
    low, high = tf.fill(shape, -1.0), tf.fill(shape, _LARGEST)
    for _ in range(_BISECTIONS):
        middle = tf.floor((low + high) / 2)
        # Of huge counts it may be NaN, which is replaced by 1.
        enough = ~(cdf(tf.maximum(middle, 0.0)) < probability) & (middle >= 0)
        low, high = tf.where(enough, low, middle), tf.where(enough, middle, high)
    return high


def bisected(
    cdf: Callable[[tf.Tensor], tf.Tensor],
    shape: tf.Tensor,
    probability: float | tf.Tensor,
    low: float,
    high: float,
) -> tf.Tensor:
    """Returns where a continuous distribution function between two bounds has a value.

    Args:
        cdf: From numbers of `shape` to probabilities.
        shape: The shape of the result.
        probability: In (0, 1); broadcasts against `shape`.
        low: The lower bound.
        high: The upper bound.
    """
    low, high = tf.fill(shape, low), tf.fill(shape, high)
    for _ in range(_BISECTIONS // 2):
        middle = (low + high) / 2
        below = cdf(middle) < probability
        low, high = tf.where(below, middle, low), tf.where(below, high, middle)
    return (low + high) / 2
