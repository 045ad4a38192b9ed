"""Importance sampling in bounded memory: samples of a proposal, and sums over their weights.

`tf_mvae.evaluation.ImportanceSampler` runs the chunks in a Python loop, and the exported signature
`log_likelihood` in a loop of its graph.
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
    """Splits samples into chunks of nearly equal size that fit in memory.

    Args:
        num_samples: The number of all samples.
        rows: The number of rows to decode per sample (the batch size, say).
        max_rows: The largest number of rows to decode at a time; a chunk has at least one sample.

    Returns:
        The number of samples per chunk, and the number of chunks, int32 scalars. The last chunk may
        have fewer samples.
    """
    most = tf.maximum(tf.minimum(num_samples, max_rows // tf.maximum(rows, 1)), 1)
    number = -(-num_samples // most)
    return -(-num_samples // number), number


def stream_chunks(
    add_chunk: Callable[[tf.Tensor | int, Sums], Sums], sums: Sums, number: tf.Tensor
) -> Sums:
    """Adds up all chunks, with one chunk in memory at a time.

    It is a Python loop in eager mode, and a `tf.while_loop` in a graph.

    Args:
        add_chunk: Takes the index of a chunk and the sums before it, and returns the sums with it.
        sums: The initial sums, a structure of tensors, whose sizes may change.
        number: The number of chunks.

    Returns:
        The sums over all chunks.
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
    """Returns the seed of a chunk's noise, a function of the seed and the chunk's index."""
    return random.fold_in(seed, index)


def draw_mixture_chunk(
    loc: tf.Tensor, log_variance: tf.Tensor, seed: tf.Tensor, chunk: tf.Tensor | int
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Samples equally many latents from each of several diagonal normal proposals.

        weight(z) = p(z) / q(z),   q(z) = (1 / C) sum_c q_c(z)

    The weight of every sample is relative to the mixture of all C components (the balance heuristic
    of Veach and Guibas, SIGGRAPH 1995). So no weight is more than C times the one relative to the
    best component.

    Args:
        loc: Means, `[component, batch, latent]`.
        log_variance: Logarithms of variances, `[component, batch, latent]`.
        seed: Two integers.
        chunk: The number of latents per example and component.

    Returns:
        z, `[chunk * component, batch, latent]`, with the samples of all components next to each
        other; `log p(z) / q(z)` with `p(z) = N(0, I)`, `[chunk * component, batch]`; and the
        first component's part of the mixture, `q_0(z) / sum_c q_c(z)`, of the same shape.
    """
    components, batch, latent = loc.shape
    noise = random.stateless_normal(tf.concat([[chunk], tf.shape(loc)], 0), seed)
    noise = tf.ensure_shape(noise, [None, components, batch, latent])
    z = loc + tf.exp(log_variance / 2) * noise  # [chunk, component, batch, latent]
    log_q = []  # log q_c of all samples, [chunk, component, batch] each
    for index in range(components):
        distance = (z - loc[index]) * tf.exp(-log_variance[index] / 2)
        # A component's distance from its own samples is their noise. For a narrow component it
        # could not be computed from z - loc, because of rounding.
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
    """Sums over importance weights w, which are carried from chunk to chunk; each `[batch]`.

    Attributes:
        count: The number of weights per example.
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
        """Returns the sums over no weights, for `size` examples."""
        zeros, least = tf.zeros([size]), tf.fill([size], -math.inf)
        return cls(zeros, least, least, zeros, zeros)

    def add(self, log_weight: tf.Tensor, number: tf.Tensor) -> "LogWeightSums":
        """Adds the first `number` rows of a chunk.

        Means and squared distances are combined as in Chan, Golub and LeVeque (1983), without
        cancellation.

        Args:
            log_weight: Logarithms of weights, `[chunk, batch]`.
            number: The number of rows to add, a float32 scalar; the rest is ignored.
        """
        places = tf.range(tf.cast(tf.shape(log_weight)[0], number.dtype), dtype=number.dtype)
        there = tf.cast(places < number, log_weight.dtype)[:, tf.newaxis]
        least = tf.where(there > 0, log_weight, -math.inf)  # ignored rows have weight 0
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
        """Returns the logarithm of the weights' mean, the estimate of the log-likelihood."""
        return self.log_sum - tf.math.log(self.count)

    def effective_sample_size(self) -> tf.Tensor:
        """Returns `(sum w)^2 / sum w^2`."""
        return tf.exp(2 * self.log_sum - self.log_sum_squares)

    def standard_error(self) -> tf.Tensor:
        """Returns the standard error of `mean_log`, by the delta method.

            sd(mean w) / mean w = sqrt((n / effective sample size - 1) / n)

        for n weights.
        """
        spread = self.count / self.effective_sample_size() - 1
        return tf.sqrt(tf.maximum(spread, 0.0) / self.count)

    def variance(self) -> tf.Tensor:
        """Returns the variance of the logarithms of the weights."""
        return self.squares / tf.maximum(self.count - 1, 1)


def log_add(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Returns `log(exp(one) + exp(other))`."""
    return tf.reduce_logsumexp(tf.stack([one, other]), axis=0)
