"""Samples of posteriors as proposals for importance sampling."""

import math
from collections.abc import Sequence

import tensorflow as tf

from tf_mvae.ops import random
from tf_mvae.ops.importance import draw_mixture_chunk
from tf_mvae.posteriors.gaussian import DiagonalGaussian
from tf_mvae.posteriors.posterior import Posterior, standard_normal_log_prob

__all__ = ["draw_from_each", "draw_proposals"]


def draw_proposals(
    posteriors: Sequence[Posterior], seed: tf.Tensor, chunk: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Samples equally many latents from each of one or several posteriors.

    Args:
        posteriors: Posteriors of the same examples, `[batch]` each.
        seed: Two integers.
        chunk: The number of latents per example and posterior.

    Returns:
        z, `[chunk * posterior, batch, latent]`, and `log p(z) / q(z)` with the mixture q of the
        posteriors, `[chunk * posterior, batch]`.
    """
    if len(posteriors) == 1:
        return posteriors[0].sample_and_log_ratio(chunk, seed)
    z, log_ratio, _ = draw_from_each(posteriors, seed, chunk)
    return z, log_ratio


def draw_from_each(
    posteriors: Sequence[Posterior], seed: tf.Tensor, chunk: int, first: int = 1
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Samples equally many latents from each of several posteriors; see `draw_mixture_chunk`.

    Args:
        posteriors: Posteriors of the same examples, `[batch]` each.
        seed: Two integers.
        chunk: The number of latents per example and posterior.
        first: The number of posteriors, from the first on, whose part of the mixture is returned.

    Returns:
        z, `[chunk * posterior, batch, latent]`; `log p(z) / q(z)` with the mixture q of the
        posteriors, `[chunk * posterior, batch]`; and the part of the first posteriors,
        `sum_(c < first) q_c(z) / sum_c q_c(z)`, of the same shape.
    """
    if first == 1 and all(isinstance(posterior, DiagonalGaussian) for posterior in posteriors):
        loc, log_variance = (tf.stack(part) for part in zip(*posteriors, strict=True))
        return draw_mixture_chunk(loc, log_variance, seed, chunk)
    number = len(posteriors)
    seeds = tf.unstack(random.split(seed, number), num=number)
    z = tf.stack([q.sample(chunk, s) for q, s in zip(posteriors, seeds, strict=True)], axis=1)
    batch, latent = posteriors[0].mean().shape
    z = tf.ensure_shape(tf.reshape(z, [chunk * number, -1, latent]), [None, batch, latent])
    # The density of every sample under every posterior, [posterior, chunk * posterior, batch].
    log_q = tf.stack([posterior.log_prob(z) for posterior in posteriors])
    log_sum = tf.reduce_logsumexp(log_q, axis=0)
    log_ratio = standard_normal_log_prob(z) - log_sum + math.log(number)
    return z, log_ratio, tf.exp(tf.reduce_logsumexp(log_q[:first], axis=0) - log_sum)
