"""A process's part of every batch."""

import dataclasses

import tensorflow as tf

__all__ = ["WHOLE", "Part", "shard_batches"]


@dataclasses.dataclass(frozen=True)
class Part:
    """Consecutive parts of a batch that is divided into equal parts.

    Attributes:
        first: The first of them.
        count: The number of these parts.
        total: The number of all parts of a batch.
    """

    first: int = 0
    count: int = 1
    total: int = 1


WHOLE = Part()


def shard_batches(batches: tf.data.Dataset, part: Part) -> tf.data.Dataset:
    """Returns a part of every batch.

    All processes go through the same batches and keep rows of their own, so that together
    they see each example once, whatever their number. (TensorFlow's own sharding deals out
    elements before they are shuffled, and batches would depend on the number of processes.)

    Args:
        batches: Batches of a static size that the part's `total` divides.
        part: Which rows.

    Raises:
        ValueError: The size is not known or not divisible.
    """
    if part.count == part.total:
        return batches
    size = tf.nest.flatten(batches.element_spec)[0].shape[0]
    if not size or size % part.total:
        raise ValueError(f"batches of {size} examples cannot be cut into {part.total} equal parts")
    rows = size // part.total
    start, end = part.first * rows, (part.first + part.count) * rows
    return batches.map(lambda batch: tf.nest.map_structure(lambda v: v[start:end], batch))
