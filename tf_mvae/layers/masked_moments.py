"""Normalisation of a batch by the moments of the examples that count, with its own gradient."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

__all__ = ["normalised"]


def normalised(
    inputs: tf.Tensor,
    counts: tf.Tensor,
    scale: tf.Tensor,
    offset: tf.Tensor,
    epsilon: float,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Normalises each feature by its moments over the examples that count.

        y = scale * x^ + offset,   x^ = (x - mean) / sqrt(variance + epsilon)

    and with `m` 1 for an example that counts, n the number of their entries, and sums over all
    entries of a feature,

        dx = scale / sqrt(variance + epsilon) * (dy - m / n * (sum(dy) + x^ * sum(dy * x^)))

    (Ioffe and Szegedy, ICML 2015, with a mask.) If all examples count, TensorFlow's fused
    operations do both; on a GPU, where the gradient's needs a result of cuDNN's that is not kept,
    y only. The gradient is written here because TensorFlow's gradient of the choice between two
    ways keeps every tensor of both, and traces twice as many operations.

    Args:
        inputs: x, `[batch, height, width, features]`.
        counts: Whether an example counts, `[batch]`.
        scale: float32, `[features]`.
        offset: float32, `[features]`.
        epsilon: Added to variances.

    Returns:
        y, the means and the variances (of which no gradient is taken).
    """
    shape = inputs.shape
    forward, backward = _ways(inputs.dtype, epsilon)
    there = tf.reshape(counts, [-1, 1, 1, 1])
    everything = tf.reduce_all(counts)

    @tf.custom_gradient
    def run(x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor) -> tuple[Any, Callable[..., Any]]:
        y, mean, variance = forward(everything, x, there, scale, offset)

        def gradient(dy: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            of_x, of_scale, of_offset = backward(everything, dy, x, there, scale, mean, variance)
            return tf.ensure_shape(of_x, shape), of_scale, of_offset

        return (tf.ensure_shape(y, shape), mean, variance), gradient

    y, mean, variance = run(inputs, scale, offset)
    return y, tf.stop_gradient(mean), tf.stop_gradient(variance)


@functools.cache
def _ways(dtype: tf.DType, epsilon: float) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Returns the choice between the two ways and that of the gradient, as functions of tensors.

    They are traced once for all layers and shapes: a model of six images has 36 such
    layers, and the branches of their choices were most of its functions.
    """
    pixels = tf.TensorSpec([None, None, None, None], dtype)
    everything = tf.TensorSpec([], tf.bool)
    there = tf.TensorSpec([None, 1, 1, 1], tf.bool)
    features = tf.TensorSpec([None], tf.float32)

    @tf.function(input_signature=[everything, pixels, there, features, features], autograph=False)
    def forward(everything, x, there, scale, offset):  # noqa: ANN001, ANN202
        return tf.cond(
            everything,
            lambda: _whole(x, scale, offset, epsilon),
            lambda: _part(x, there, scale, offset, epsilon),
        )

    @tf.function(
        input_signature=[everything, pixels, pixels, there, features, features, features],
        autograph=False,
    )
    def backward(everything, dy, x, there, scale, mean, variance):  # noqa: ANN001, ANN202
        def of_part() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            return _gradient_of_part(dy, x, there, scale, mean, variance, epsilon)

        if tf.config.list_logical_devices("GPU"):
            return of_part()
        return tf.cond(
            everything, lambda: _gradient_of_whole(dy, x, scale, mean, variance, epsilon), of_part
        )

    return forward, backward


def _whole(
    x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    empty = tf.zeros([0])  # the moments are those of x
    y, mean, unbiased, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=scale, offset=offset, mean=empty, variance=empty, epsilon=epsilon
    )
    # It gives Bessel's variance, Keras keeps the plain one.
    number = tf.cast(tf.reduce_prod(tf.shape(x)[:3]), tf.float32)
    return y, mean, unbiased * (tf.maximum(number - 1.0, 1.0) / number)


def _gradient_of_whole(
    dy: tf.Tensor,
    x: tf.Tensor,
    scale: tf.Tensor,
    mean: tf.Tensor,
    variance: tf.Tensor,
    epsilon: float,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    found = tf.raw_ops.FusedBatchNormGradV3(
        y_backprop=dy,
        x=x,
        scale=scale,
        reserve_space_1=mean,
        reserve_space_2=variance,
        reserve_space_3=tf.zeros([0]),
        epsilon=epsilon,
    )
    return found[0], found[1], found[2]


def _number(there: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Returns how many entries of a feature count; as in Keras a little more, so never 0."""
    pixels = tf.cast(tf.shape(x)[1] * tf.shape(x)[2], tf.float32)
    return tf.reduce_sum(tf.cast(there, tf.float32)) * pixels + keras.backend.epsilon()


def _part(
    x: tf.Tensor, there: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    dtype, x, number = x.dtype, tf.cast(x, tf.float32), _number(there, x)
    mean = tf.reduce_sum(tf.where(there, x, 0.0), [0, 1, 2]) / number
    squares = tf.where(there, tf.square(x - mean), 0.0)
    variance = tf.reduce_sum(squares, [0, 1, 2]) / number
    factor = scale * tf.math.rsqrt(variance + epsilon)
    return tf.cast(x * factor + (offset - mean * factor), dtype), mean, variance


def _gradient_of_part(
    dy: tf.Tensor,
    x: tf.Tensor,
    there: tf.Tensor,
    scale: tf.Tensor,
    mean: tf.Tensor,
    variance: tf.Tensor,
    epsilon: float,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    dtype, number, dy = x.dtype, _number(there, x), tf.cast(dy, tf.float32)
    inverse = tf.math.rsqrt(variance + epsilon)
    unit = (tf.cast(x, tf.float32) - mean) * inverse
    of_offset = tf.reduce_sum(dy, [0, 1, 2])
    of_scale = tf.reduce_sum(dy * unit, [0, 1, 2])
    moments = tf.where(there, (of_offset + unit * of_scale) / number, 0.0)
    return tf.cast(scale * inverse * (dy - moments), dtype), of_scale, of_offset
