"""Latents that are chosen among candidates."""

from collections.abc import Callable

import tensorflow as tf

from tf_mvae.ops import random
from tf_mvae.posteriors import Posterior

__all__ = ["chosen_latents", "guided_latents"]


def guided_latents(
    posterior: Posterior,
    number: int | tf.Tensor,
    seed: tf.Tensor,
    scale: float | tf.Tensor | None,
    count: int,
    log_weight: Callable[[tf.Tensor], tf.Tensor],
) -> tf.Tensor:
    """Draws each latent among K candidates, with probabilities proportional to their weights.

        z = z_k with probability w(z_k) / sum_j w(z_j),   z_1, ..., z_K ~ posterior

    With K = 1 that is a sample of the posterior; the density tends to `posterior(z) w(z)` as K
    grows.

    Args:
        posterior: Of each example, `[batch]`.
        number: Samples of each example.
        seed: Two integers.
        scale: The temperature.
        count: K.
        log_weight: From latents, `[sample, batch, latent]`, to `log w`, `[sample, batch]`.

    Returns:
        `[number, batch, latent]`.
    """
    z = posterior.sample(count * number, seed, scale)
    if count == 1:
        return z
    shape = tf.shape(z)
    # One column for each sample of each example.
    weight = tf.nn.softmax(tf.reshape(log_weight(z), [count, -1]), axis=0)
    points = random.stateless_uniform(tf.shape(weight)[1:], random.fold_in(seed, 2))
    flat = tf.reshape(z, [count, -1, z.shape[-1]])
    chosen = chosen_latents(flat, weight, points[tf.newaxis])
    return tf.reshape(chosen, [number, shape[1], z.shape[-1]])


def chosen_latents(z: tf.Tensor, weight: tf.Tensor, points: tf.Tensor) -> tf.Tensor:
    """Returns the latents at points of the distribution function of their weights.

    Args:
        z: Candidates, `[candidate, batch, latent]`.
        weight: Their probabilities, `[candidate, batch]`.
        points: Numbers in [0, 1), `[sample, batch]`.

    Returns:
        `[sample, batch, latent]`.
    """
    below = tf.transpose(tf.cumsum(weight, axis=0))
    index = tf.searchsorted(below, tf.transpose(points), side="right")
    index = tf.minimum(index, tf.shape(weight)[0] - 1)  # sums of weights are rounded
    chosen = tf.gather(tf.transpose(z, [1, 0, 2]), index, batch_dims=1)
    return tf.transpose(chosen, [1, 0, 2])
