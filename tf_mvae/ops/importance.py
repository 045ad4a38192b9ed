"""Streams of importance weights: draws from a proposal, and what their weights add up to.

What `tf_mvae.evaluation.ImportanceSampler` computes batch by batch, and the exported
signature `log_likelihood` inside its graph.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from tf_mvae.ops import random

__all__ = ["LogWeightSums", "chunk_seed", "draw_chunk"]


def chunk_seed(seed: tf.Tensor, index: tf.Tensor | int) -> tf.Tensor:
    """Returns the seed of a chunk's noise."""
    return random.fold_in(seed, index)


def draw_chunk(
    loc: tf.Tensor, log_variance: tf.Tensor, seed: tf.Tensor, chunk: tf.Tensor | int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws latents from a diagonal normal proposal `q(z)`.

    Args:
        loc: Its means, `[batch, latent]`.
        log_variance: Logarithms of its variances, `[batch, latent]`.
        seed: Two integers.
        chunk: How many latents an example.

    Returns:
        z, `[chunk, batch, latent]`, and `log p(z) / q(z)` with `p(z) = N(0, I)`,
        `[chunk, batch]`.
    """
    shape = tf.concat([[chunk], tf.shape(loc)], 0)
    noise = tf.ensure_shape(random.stateless_normal(shape, seed), [None, *loc.shape])
    z = loc + tf.exp(log_variance / 2) * noise
    # The constants of the two densities cancel.
    return z, 0.5 * tf.reduce_sum(noise**2 - z**2 + log_variance, axis=-1)


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
            _log_add(self.log_sum, tf.reduce_logsumexp(least, axis=0)),
            _log_add(self.log_sum_squares, tf.reduce_logsumexp(2 * least, axis=0)),
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


def _log_add(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    return tf.reduce_logsumexp(tf.stack([one, other]), axis=0)
