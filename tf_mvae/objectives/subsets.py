"""The subsets of an example's modalities whose ELBOs a training step adds up.

An example with `n` observed modalities has these terms: all of them; each of them alone; and `k`
random subsets of what it has, of 2 to `n - 1` modalities, no two of them the same. They are drawn
inside the graph, and never listed: there are `2^n - n - 2` of the last kind.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.errors import UserError
from tf_mvae.ops import random

__all__ = [
    "SUBSET_DISTRIBUTIONS",
    "SubsetTerms",
    "check_num_random",
    "num_proper_subsets",
    "random_subsets",
]

SUBSET_DISTRIBUTIONS = ("uniform_sizes", "uniform_subsets")


class SubsetTerms(NamedTuple):
    """Which subsets a step evaluates.

    Attributes:
        subset: 1 where a term's subset contains a modality, `[term, batch, modality]`.
        valid: 1 where the term counts for the example, `[term, batch]`: 0 where the
            example has no such subset, or has it already as another term.
    """

    subset: tf.Tensor
    valid: tf.Tensor


def num_proper_subsets(num_modalities: int) -> int:
    """Returns the number of proper subsets with at least 2 modalities."""
    return max(0, 2**num_modalities - num_modalities - 2)


def random_subsets(
    present: tf.Tensor, num_random: int, distribution: str, seed: tf.Tensor
) -> SubsetTerms:
    """Samples proper subsets of each example's observed modalities, without replacement.

    As in the published code, one random permutation of the modalities and one random number in [0,
    1) are drawn for the whole batch, so examples with the same modalities get the same subsets, on
    every replica. The number determines the size of the subset; the subset consists of the first
    observed modalities in the order of the permutation. If an example has this subset already, it
    is drawn again for this example. Other examples of the batch have no influence.

    Args:
        present: 1 where an example has a modality, `[batch, modality]`.
        num_random: The number of subsets per example, if it has enough of them.
        distribution: `'uniform_sizes'`, the published code's: every size from 2 to
            `n - 1` is equally likely, then every subset of that size.
            `'uniform_subsets'`: every proper subset is equally likely.
        seed: Two integers; the same ones draw the same subsets, compiled or not.

    Returns:
        `SubsetTerms` with `num_random` terms. An example with fewer such subsets has
        each of them once, and the rest of its terms do not count.

    Raises:
        ValueError: `num_random` is larger than the number of subsets of all modalities.
    """
    num_modalities = present.shape[1]
    check_num_random(num_random, num_modalities)
    count = tf.cast(tf.round(tf.reduce_sum(present, axis=1)), tf.int32)
    cdf = tf.gather(tf.constant(_size_cdf(num_modalities, distribution), tf.float32), count)
    available = tf.constant(
        [min(num_proper_subsets(n), num_random) for n in range(num_modalities + 1)], tf.int32
    )
    available = tf.gather(available, count)

    def draw(index, attempt):
        return _draw_subset(present, cdf, random.fold_in(seed, attempt * num_random + index))

    drawn = [draw(0, 0)]
    for index in range(1, num_random):
        drawn.append(_draw_another(functools.partial(draw, index), drawn, available <= index))
    valid = tf.range(num_random)[:, tf.newaxis] < available
    subset = tf.stack(drawn) * tf.cast(valid, tf.float32)[..., tf.newaxis]
    return SubsetTerms(tf.stop_gradient(subset), tf.cast(valid, tf.float32))


def _draw_subset(present: tf.Tensor, size_cdf: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Samples one subset of each example's observed modalities, `[batch, modality]`.

    Args:
        present: 1 where an example has a modality, `[batch, modality]`.
        size_cdf: The cumulative probabilities of subset sizes, `[batch, size]`.
        seed: The seed of the permutation and the number that all examples share.
    """
    numbers = random.stateless_uniform([present.shape[1] + 1], seed)
    order, number = numbers[:-1], numbers[-1]
    # Inversion of the distribution function: the number of bounds at or below it, [batch].
    size = tf.reduce_sum(tf.cast(number >= size_cdf, tf.int32), axis=1)
    # One order serves every example: what an example has is counted along it, which
    # a sort of each example's own would take longer for.
    along = tf.argsort(order, stable=True)
    ranks = tf.cumsum(tf.gather(present, along, axis=1), axis=1)
    ranks = tf.gather(ranks, tf.argsort(along), axis=1)
    # The first `size` observed modalities in the shuffled order, [batch, modality].
    return tf.cast(ranks <= tf.cast(size, tf.float32)[:, tf.newaxis], tf.float32) * present


def _draw_another(
    draw: Callable[[tf.Tensor], tf.Tensor], earlier: Sequence[tf.Tensor], done: tf.Tensor
) -> tf.Tensor:
    """Draws until each example's subset is none of its earlier ones; `[batch, modality]`.

    Args:
        draw: From the number of an attempt to subsets, `[batch, modality]`.
        earlier: The subsets that the examples have, each `[batch, modality]`.
        done: Where an example needs no further subset, `[batch]`; it gets an empty one.
    """

    def is_new(candidate):
        # By earlier subset, whether the candidate equals it, [batch].
        same = [tf.reduce_all(candidate == other, axis=1) for other in earlier]
        return tf.logical_not(tf.reduce_any(tf.stack(same), axis=0))

    def unfinished(attempt, candidate, done):
        return tf.logical_not(tf.reduce_all(done))

    def again(attempt, candidate, done):
        fresh = draw(attempt)
        take = tf.logical_and(tf.logical_not(done), is_new(fresh))
        candidate = tf.where(take[:, tf.newaxis], fresh, candidate)
        return attempt + 1, candidate, tf.logical_or(done, take)

    state = (0, tf.zeros_like(earlier[0]), done)
    return tf.while_loop(unfinished, again, state)[1]


def check_num_random(num_random: int, num_modalities: int) -> None:
    """Raises ValueError where there are fewer proper subsets than `num_random`."""
    checks.non_negative_integer("num_random_subsets", num_random)
    most = num_proper_subsets(num_modalities)
    if num_random > most:
        raise UserError(
            f"{num_random} random subsets of {num_modalities} modalities were asked for, but "
            f"only {most} have at least 2 modalities and not all; make num_random_subsets "
            f"{most}{' or less' if most else ''}"
        )


def _size_cdf(num_modalities: int, distribution: str) -> np.ndarray:
    """Cumulative probabilities of subset sizes, by the number of observed modalities.

    Returns:
        `[count, size]`: the probability of at most `size` of `count` modalities, so that
        the number of entries not above u in [0, 1) is a size. Rows of fewer than 3
        modalities, which have no proper subset, give size 2.
    """
    checks.one_of("distribution", distribution, SUBSET_DISTRIBUTIONS)
    table = np.ones([num_modalities + 1, num_modalities + 1])
    for count in range(num_modalities + 1):
        sizes = np.arange(2, max(count, 3))
        if distribution == "uniform_sizes" or count < 3:
            log_weight = np.zeros(len(sizes))
        else:
            log_weight = -np.array(
                [math.lgamma(size + 1) + math.lgamma(count - size + 1) for size in sizes]
            )
        weight = np.exp(log_weight - log_weight.max())
        table[count, :2] = 0.0
        table[count, 2 : 2 + len(sizes)] = np.cumsum(weight) / weight.sum()
        table[count, 1 + len(sizes) :] = 1.0
    return table
