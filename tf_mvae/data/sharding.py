"""A process's part of every batch."""

import tensorflow as tf

__all__ = ["shard_batches"]


def shard_batches(
    batches: tf.data.Dataset, num_parts: int, first: int, count: int = 1
) -> tf.data.Dataset:
    """Returns some of the equal parts into which every batch is cut, in order.

    All processes go through the same batches and keep rows of their own, so that together
    they see each example once, whatever their number. (TensorFlow's own sharding deals out
    elements before they are shuffled, and batches would depend on the number of processes.)

    Args:
        batches: Batches of a static size that `num_parts` divides.
        num_parts: Into how many parts a batch is cut.
        first: The first part to return.
        count: How many parts, one after the other.

    Raises:
        ValueError: The size is not known or not divisible.
    """
    size = tf.nest.flatten(batches.element_spec)[0].shape[0]
    if not size or size % num_parts:
        raise ValueError(f"batches of {size} examples cannot be cut into {num_parts} equal parts")
    rows = size // num_parts
    start, end = first * rows, (first + count) * rows
    return batches.map(lambda batch: tf.nest.map_structure(lambda v: v[start:end], batch))
