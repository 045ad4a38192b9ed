"""A diagonal Gaussian posterior."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from tf_mvae.distributions.product_of_experts import (
    diagonal_normal,
    gaussian_kl,
    gaussian_kl_to_prior,
)
from tf_mvae.distributions.tfp import Distribution
from tf_mvae.ops import random
from tf_mvae.posteriors.posterior import Posterior

__all__ = ["DiagonalGaussian"]


class _Parameters(NamedTuple):
    loc: tf.Tensor
    log_variances: tf.Tensor


class DiagonalGaussian(_Parameters, Posterior):
    """`N(loc, diag(exp(log_variances)))`, both parameters `[..., latent]`."""

    __slots__ = ()

    def mean(self) -> tf.Tensor:
        """See `Posterior.mean`."""
        return self.loc

    def variance(self) -> tf.Tensor:
        """See `Posterior.variance`."""
        return tf.exp(self.log_variances)

    def log_variance(self) -> tf.Tensor:
        """See `Posterior.log_variance`."""
        return self.log_variances

    def sample(
        self,
        num_samples: int | tf.Tensor,
        seed: tf.Tensor,
        temperature: float | tf.Tensor | None = None,
    ) -> tf.Tensor:
        """See `Posterior.sample`: `loc + temperature * exp(log_variance / 2) * noise`."""
        return self._sample(num_samples, seed, temperature)[0]

    def _sample(self, num_samples, seed, temperature=None):
        shape = tf.concat([[num_samples], tf.shape(self.loc)], 0)
        noise = tf.ensure_shape(random.batch_normal(shape, seed), [None, *self.loc.shape])
        scale = tf.exp(self.log_variances / 2)
        scale = scale if temperature is None else temperature * scale
        return self.loc + scale * noise, noise

    def sample_and_log_ratio(
        self, num_samples: int | tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Posterior.sample_and_log_ratio`; the constants of the two densities cancel."""
        z, noise = self._sample(num_samples, seed)
        # With z = loc + scale * noise, the distance of z from loc in units of scale is the noise.
        return z, 0.5 * tf.reduce_sum(noise**2 - z**2 + self.log_variances, axis=-1)

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """See `Posterior.log_prob`."""
        distance = tf.square(z - self.loc) * tf.exp(-self.log_variances)
        each = distance + self.log_variances + math.log(2 * math.pi)
        return -0.5 * tf.reduce_sum(each, axis=-1)

    def kl_to_prior(self, z: tf.Tensor | None = None) -> tf.Tensor:
        """See `Posterior.kl_to_prior`; in closed form, without samples."""
        return gaussian_kl_to_prior(self.loc, self.log_variances)

    def charged_kl(self, z: tf.Tensor, kl: tf.Tensor, free_bits: float) -> tf.Tensor:
        """Returns the divergence with free bits, `[...]`.

            sum_j max(free_bits, KL_j)

        over the latent dimensions j, for each example. Using up to `free_bits` nats of a dimension
        costs nothing extra, so that a decoder that could ignore the latent (a recurrent one) does
        not save anything by doing so. (Kingma et al., *Improved variational inference with inverse
        autoregressive flow*, NeurIPS 2016, appendix C.8, bounds averages of a batch instead; by
        example it is the same on one replica as on many.)
        """
        if not free_bits:
            return kl
        # A last axis of size 1 gives the divergence of each latent dimension, [..., latent].
        each = gaussian_kl_to_prior(self.loc[..., tf.newaxis], self.log_variances[..., tf.newaxis])
        return tf.reduce_sum(tf.maximum(each, free_bits), axis=-1)

    def kl_to(self, other: "DiagonalGaussian") -> tf.Tensor:
        """Returns the divergence from another Gaussian, in nats; shapes broadcast."""
        return gaussian_kl(*self, *other)

    def distribution(self) -> Distribution:
        """See `Posterior.distribution`: a `tfd.MultivariateNormalDiag`."""
        return diagonal_normal(*self)

    def take(self, index: int | slice) -> "DiagonalGaussian":
        """See `Posterior.take`."""
        return DiagonalGaussian(*(part[index] for part in self))

    @classmethod
    def join(cls, parts: Sequence["DiagonalGaussian"]) -> "DiagonalGaussian":
        """Returns the distributions of all parts, one after another along the first axis."""
        if len(parts) == 1:
            return parts[0]
        return cls(*(tf.concat(part, 0) for part in zip(*parts, strict=True)))
