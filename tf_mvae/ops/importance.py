"""Streams of importance weights: draws from a proposal, and sums over their weights.

`tf_mvae.evaluation.ImportanceSampler` runs these chunk by chunk, the exported signature
`log_likelihood` inside its graph.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import tensorflow as tf

from tf_mvae.ops import random

__all__ = [
    "LogWeightSums",
    "chunk_seed",
    "chunk_sizes",
    "draw_mixture_chunk",
    "log_add",
    "stream_chunks",
]

Sums = TypeVar("Sums")


def chunk_sizes(
    num_samples: tf.Tensor | int, rows: tf.Tensor | int, max_rows: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the number of samples in a chunk, and the number of chunks, int32 scalars.

    Args:
        num_samples: How many samples there are in all.
        rows: How many rows are decoded for one sample of a batch.
        max_rows: The most rows that are decoded at a time, unless one sample has more.
    """
    most = tf.maximum(tf.minimum(num_samples, max_rows // tf.maximum(rows, 1)), 1)
    number = -(-num_samples // most)
    return -(-num_samples // number), number


def stream_chunks(
    add_chunk: Callable[[tf.Tensor | int, Sums], Sums], sums: Sums, number: tf.Tensor
) -> Sums:
    """Returns `sums` after `add_chunk(index, sums)` for each chunk, one chunk in memory at a time.

    A Python loop outside graphs, a `tf.while_loop` in one.

    Args:
        add_chunk: Adds the chunk of an index.
        sums: A structure of tensors, whose sizes may change.
        number: How many chunks there are.
    """
    if tf.executing_eagerly():
        for index in range(int(number)):
            sums = add_chunk(index, sums)
        return sums
    free = tf.nest.map_structure(lambda part: tf.TensorShape([None] * part.shape.rank), sums)
    _, sums = tf.while_loop(
        lambda index, _: index < number,
        lambda index, sums: (index + 1, add_chunk(index, sums)),
        (tf.constant(0), sums),
        shape_invariants=(tf.TensorShape([]), free),
        parallel_iterations=1,  # one chunk's latents and decodings at a time
    )
    return sums


def chunk_seed(seed: tf.Tensor, index: tf.Tensor | int) -> tf.Tensor:
    """Returns the seed of a chunk's noise."""
    return random.fold_in(seed, index)


def draw_mixture_chunk(
    loc: tf.Tensor, log_variance: tf.Tensor, seed: tf.Tensor, chunk: tf.Tensor | int
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Draws as many latents from each of several diagonal normal proposals.

    Every draw is weighed against the mixture `q(z) = mean_c q_c(z)` (the balance heuristic of
    Veach and Guibas, SIGGRAPH 1995), so that no weight is more than the number of components
    times the weight that its best component would give it.

    Args:
        loc: Means, `[component, batch, latent]`.
        log_variance: Logarithms of variances, `[component, batch, latent]`.
        seed: Two integers.
        chunk: How many latents an example from each component.

    Returns:
        z, `[chunk * component, batch, latent]`, the draws of all components next to each
        other; `log p(z) / q(z)` with `p(z) = N(0, I)`, `[chunk * component, batch]`; and the
        first component's part of the mixture at z, `q_0(z) / sum_c q_c(z)`, the same shape.
    """
    components, batch, latent = loc.shape
    noise = random.stateless_normal(tf.concat([[chunk], tf.shape(loc)], 0), seed)
    noise = tf.ensure_shape(noise, [None, components, batch, latent])
    z = loc + tf.exp(log_variance / 2) * noise
    log_q = []
    for index in range(components):
        distance = (z - loc[index]) * tf.exp(-log_variance[index] / 2)
        # A component's own draws keep their noise: a narrow one's would be lost in z - loc.
        own = tf.range(components)[:, tf.newaxis, tf.newaxis] == index
        distance = tf.where(own, noise, distance)
        log_q.append(-0.5 * tf.reduce_sum(distance**2 + log_variance[index], axis=-1))
    log_sum = tf.reduce_logsumexp(tf.stack(log_q), axis=0)
    # The constants of the normal densities cancel.
    log_ratio = math.log(components) - 0.5 * tf.reduce_sum(z**2, axis=-1) - log_sum
    part = tf.exp(log_q[0] - log_sum)
    rows = tf.shape(noise)[0] * components
    return (
        tf.ensure_shape(tf.reshape(z, [rows, -1, latent]), [None, batch, latent]),
        *(
            tf.ensure_shape(tf.reshape(values, [rows, -1]), [None, batch])
            for values in (log_ratio, part)
        ),
    )


class LogWeightSums(NamedTuple):
    """What is carried from chunk to chunk of weights w, each `[batch]`.

    Attributes:
        count: How many weights an example.
        log_sum: `log sum w`.
        log_sum_squares: `log sum w^2`.
        mean: The mean of `log w`.
        squares: The sum of squared distances of `log w` from that mean.
    """

    count: tf.Tensor
    log_sum: tf.Tensor
    log_sum_squares: tf.Tensor
    mean: tf.Tensor
    squares: tf.Tensor

    @classmethod
    def nothing(cls, size: tf.Tensor | int) -> "LogWeightSums":
        """Returns the sums of no weights, of `size` examples."""
        zeros, least = tf.zeros([size]), tf.fill([size], -math.inf)
        return cls(zeros, least, least, zeros, zeros)

    def add(self, log_weight: tf.Tensor, number: tf.Tensor) -> "LogWeightSums":
        """Adds the first `number` rows of a chunk, `[chunk, batch]`.

        Means and squares are joined as in Chan, Golub and LeVeque (1983), which loses
        nothing to cancellation.

        Args:
            log_weight: Logarithms of weights, `[chunk, batch]`.
            number: How many of the rows count, a float32 scalar.
        """
        places = tf.range(tf.cast(tf.shape(log_weight)[0], number.dtype), dtype=number.dtype)
        there = tf.cast(places < number, log_weight.dtype)[:, tf.newaxis]
        least = tf.where(there > 0, log_weight, -math.inf)
        mean = tf.reduce_sum(there * log_weight, axis=0) / number
        squares = tf.reduce_sum(there * (log_weight - mean) ** 2, axis=0)
        total = self.count + number
        step = mean - self.mean
        return LogWeightSums(
            total,
            log_add(self.log_sum, tf.reduce_logsumexp(least, axis=0)),
            log_add(self.log_sum_squares, tf.reduce_logsumexp(2 * least, axis=0)),
            self.mean + step * number / total,
            self.squares + squares + step**2 * self.count * number / total,
        )

    def mean_log(self) -> tf.Tensor:
        """Returns the logarithm of the weights' mean."""
        return self.log_sum - tf.math.log(self.count)

    def effective_sample_size(self) -> tf.Tensor:
        """Returns `(sum w)^2 / sum w^2`."""
        return tf.exp(2 * self.log_sum - self.log_sum_squares)

    def standard_error(self) -> tf.Tensor:
        """Returns the standard error of `mean_log`.

        The delta method: the standard deviation of the mean weight over that mean.
        """
        spread = self.count / self.effective_sample_size() - 1
        return tf.sqrt(tf.maximum(spread, 0.0) / self.count)

    def variance(self) -> tf.Tensor:
        """Returns the variance of the logarithms of the weights."""
        return self.squares / tf.maximum(self.count - 1, 1)


def log_add(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Returns `log(exp(one) + exp(other))`."""
    return tf.reduce_logsumexp(tf.stack([one, other]), axis=0)
