"""Appends numbers of an example, such as covariates, to a network's input."""

import tensorflow as tf

__all__ = ["append"]


def append(inputs: tf.Tensor, numbers: tf.Tensor, batch_axis: int = 0) -> tf.Tensor:
    """Appends numbers of each example along the last axis of an input.

    They are repeated along all axes between the batch's and the last; in images they are channels.

    Args:
        inputs: `[..., batch, ..., features]`, or `[features]` of one example.
        numbers: `[batch, width]`, or of one example for all `[1, width]`.
        batch_axis: The axis of `inputs` that is the batch.

    Returns:
        `[..., batch, ..., features + width]`, of the type of `inputs`.
    """
    numbers = tf.cast(numbers, inputs.dtype)
    width, rank = numbers.shape[-1], inputs.shape.rank
    if rank == 1:
        return tf.concat([inputs, numbers[0]], -1)
    # [batch, 1, ..., width], then broadcast over all other axes of the input.
    inner = [1] * (rank - batch_axis - 2)
    numbers = tf.reshape(numbers, tf.concat([tf.shape(numbers)[:1], [*inner, width]], 0))
    shape = tf.concat([tf.shape(inputs)[:-1], [width]], 0)
    numbers = tf.ensure_shape(tf.broadcast_to(numbers, shape), [*inputs.shape[:-1], width])
    return tf.concat([inputs, numbers], -1)
