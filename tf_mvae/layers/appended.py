"""Numbers of an example, appended to what a network sees of it."""

import tensorflow as tf

__all__ = ["append"]


def append(inputs: tf.Tensor, numbers: tf.Tensor, batch_axis: int = 0) -> tf.Tensor:
    """Returns inputs with numbers of their example behind the last axis.

    They are repeated along all axes but the batch's and the last: of an image they are channels.

    Args:
        inputs: `[..., batch, ..., features]`, or `[features]` of one example.
        numbers: `[batch, width]`, or of one example for all `[1, width]`.
        batch_axis: Which axis of `inputs` is the batch.

    Returns:
        `[..., batch, ..., features + width]`, of the type of `inputs`.
    """
    numbers = tf.cast(numbers, inputs.dtype)
    width, rank = numbers.shape[-1], inputs.shape.rank
    if rank == 1:
        return tf.concat([inputs, numbers[0]], -1)
    inner = [1] * (rank - batch_axis - 2)
    numbers = tf.reshape(numbers, tf.concat([tf.shape(numbers)[:1], [*inner, width]], 0))
    shape = tf.concat([tf.shape(inputs)[:-1], [width]], 0)
    numbers = tf.ensure_shape(tf.broadcast_to(numbers, shape), [*inputs.shape[:-1], width])
    return tf.concat([inputs, numbers], -1)
