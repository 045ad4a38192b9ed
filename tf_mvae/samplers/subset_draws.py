"""The random subsets that a sampler is fitted to."""

import tensorflow as tf

from tf_mvae.ops import random

__all__ = ["EMPTY_PROBABILITY", "FULL_PROBABILITY", "draw_subsets"]

EMPTY_PROBABILITY = 0.25
FULL_PROBABILITY = 0.05


def draw_subsets(
    present: tf.Tensor,
    seed: tf.Tensor,
    empty_probability: float = EMPTY_PROBABILITY,
    full_probability: float = FULL_PROBABILITY,
    may_keep_all: bool = False,
) -> tf.Tensor:
    """Samples a subset of each example's observed modalities, independently for each example.

    It is empty with a probability. A complete example keeps everything with another: there
    the target is `q(z | S)` itself. Otherwise every size from 1 to one less than the example
    has is equally likely, then every subset of that size. An incomplete example never keeps
    all that it has: what `q` says of a single label, say, is not what `p(z | label)` has to
    learn.

    Args:
        present: 1 where an example has a modality, `[batch, column]`.
        seed: Two integers; the same ones draw the same subsets on any number of replicas.
        empty_probability: Probability of the empty subset.
        full_probability: Probability that a complete example keeps everything.
        may_keep_all: Whether all that an example has is a size like the others, because single
            cells of that are hidden.

    Returns:
        1 where the subset contains a modality, `[batch, column]`.
    """
    columns = present.shape[1]
    numbers = random.batch_uniform(tf.stack([tf.shape(present)[0], columns + 2]), seed)
    order, kind, size = numbers[:, :columns], numbers[:, columns], numbers[:, columns + 1]
    # Observed modalities come first, in random order.
    order = tf.where(present > 0, order, 2.0)
    rank = tf.cast(tf.argsort(tf.argsort(order, axis=1), axis=1), tf.float32)
    count = tf.reduce_sum(present, axis=1)
    largest = count if may_keep_all else count - 1
    number = tf.where(largest > 0, 1 + tf.floor(size * largest), 0.0)
    full = (count == columns) & (kind >= 1 - full_probability)
    number = tf.where(full, count, tf.where(kind < empty_probability, 0.0, number))
    return tf.cast(rank < number[:, tf.newaxis], tf.float32) * present
