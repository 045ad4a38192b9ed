"""A mixture of diagonal Gaussians as a posterior."""

import math
from typing import NamedTuple

import tensorflow as tf

from tf_mvae.distributions.tfp import Distribution, mixture
from tf_mvae.ops import random
from tf_mvae.posteriors.gaussian import DiagonalGaussian
from tf_mvae.posteriors.posterior import Posterior

__all__ = ["GaussianMixture"]


class _Parameters(NamedTuple):
    loc: tf.Tensor
    log_variances: tf.Tensor
    weight: tf.Tensor


class GaussianMixture(_Parameters, Posterior):
    """`sum_c weight_c N(loc_c, diag(exp(log_variances_c)))`.

    Parameters are `[..., component, latent]`; weights `[..., component]` add up to 1, and
    components of weight 0 count for nothing.
    """

    __slots__ = ()

    @classmethod
    def of_components(cls, components: DiagonalGaussian, counts: tf.Tensor) -> "GaussianMixture":
        """Returns the mixture, in equal parts, of the components that count.

        Args:
            components: `[..., component, latent]`.
            counts: 1 where a component counts, else 0, `[..., component]`. Where none
                counts, the distribution is the prior.
        """
        number = tf.reduce_sum(counts, axis=-1, keepdims=True)
        # The first component is the prior where there is none.
        first = tf.one_hot(0, counts.shape[-1], dtype=counts.dtype)
        weight = tf.where(number > 0, counts / tf.maximum(number, 1.0), first)
        there = counts[..., tf.newaxis] > 0
        loc, log_variances = (tf.where(there, part, 0.0) for part in components)
        return cls(loc, log_variances, weight)

    def mean(self) -> tf.Tensor:
        """See `Posterior.mean`."""
        return tf.reduce_sum(self.weight[..., tf.newaxis] * self.loc, axis=-2)

    def variance(self) -> tf.Tensor:
        """See `Posterior.variance`: that within components and that of their means."""
        # The law of total variance, [..., component, latent].
        spread = tf.square(self.loc - self.mean()[..., tf.newaxis, :])
        each = tf.exp(self.log_variances) + spread
        return tf.reduce_sum(self.weight[..., tf.newaxis] * each, axis=-2)

    def sample(
        self,
        num_samples: int | tf.Tensor,
        seed: tf.Tensor,
        temperature: float | tf.Tensor | None = None,
    ) -> tf.Tensor:
        """See `Posterior.sample`; the choice of a component has no gradient."""
        choice_seed, noise_seed = tf.unstack(random.split(seed, 2))
        shape = tf.concat([[num_samples], tf.shape(self.weight)[:-1], [1]], 0)
        uniform = random.batch_uniform(shape, choice_seed)
        # [sample, ..., component - 1]: how many boundaries the number has passed.
        passed = tf.cast(uniform >= tf.cumsum(self.weight, axis=-1)[..., :-1], tf.int32)
        chosen = tf.one_hot(
            tf.reduce_sum(passed, axis=-1), self.weight.shape[-1], dtype=self.loc.dtype
        )
        loc, log_variance = (
            tf.einsum("s...c,...cl->s...l", chosen, part) for part in (self.loc, self.log_variances)
        )
        # loc and log_variance of the chosen component, [sample, ..., latent].
        noise = random.batch_normal(tf.shape(loc), noise_seed)
        scale = tf.exp(log_variance / 2)
        scale = scale if temperature is None else temperature * scale
        return loc + scale * noise

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """See `Posterior.log_prob`."""
        # [sample, ..., component]
        each = DiagonalGaussian(self.loc, self.log_variances).log_prob(z[..., tf.newaxis, :])
        there = self.weight > 0
        log_weight = tf.math.log(tf.where(there, self.weight, 1.0))
        return tf.reduce_logsumexp(tf.where(there, each + log_weight, -math.inf), axis=-1)

    def kl_bound(self) -> tf.Tensor:
        """Returns the mean of the components' divergences from the prior, `[...]`.

        It is not below the mixture's own divergence, which has no closed form.
        """
        each = DiagonalGaussian(self.loc, self.log_variances).kl_to_prior()
        return tf.reduce_sum(self.weight * each, axis=-1)

    def distribution(self) -> Distribution:
        """See `Posterior.distribution`: a `tfd.MixtureSameFamily`."""
        components = DiagonalGaussian(self.loc, self.log_variances).distribution()
        return mixture(self.weight, components)

    def take(self, index: int | slice) -> "GaussianMixture":
        """See `Posterior.take`."""
        return GaussianMixture(*(part[index] for part in self))
