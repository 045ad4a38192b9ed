"""Posteriors that a conditional flow makes of noise."""

import abc
import itertools
from typing import Any, ClassVar, NamedTuple

import tensorflow as tf

from tf_mvae.distributions.product_of_experts import diagonal_normal
from tf_mvae.distributions.tfp import Distribution, transformed
from tf_mvae.ops import random
from tf_mvae.posteriors import GaussianMixture, Posterior
from tf_mvae.posteriors.posterior import standard_normal_log_prob

__all__ = ["FlowPosterior", "MixtureFlowPosterior", "TransformedPosterior", "with_flow"]

_MOMENT_SAMPLES = 64
_COUNTER = itertools.count()


class TransformedPosterior(Posterior):
    """`z = loc + exp(log_scale) f(noise; features)`, with an invertible f; all `[batch, ...]`.

    A subclass is a named tuple of `loc`, `log_scale`, `features` and what its base density
    needs. Each flow has a subclass of its own, whose `flow` is the layer, so that a distribution
    is tensors alone and passes through `tf.function`.
    """

    __slots__ = ()

    flow: ClassVar[Any]

    @abc.abstractmethod
    def base_sample(
        self,
        num_samples: int | tf.Tensor,
        seed: tf.Tensor,
        temperature: float | tf.Tensor | None,
    ) -> tf.Tensor:
        """Draws noise, `[sample, batch, latent]`."""

    @abc.abstractmethod
    def base_log_prob(self, noise: tf.Tensor) -> tf.Tensor:
        """Returns the log-density of noise in nats, `[sample, batch]`."""

    @abc.abstractmethod
    def base_distribution(self) -> Distribution:
        """Returns the distribution of the noise, batch `[batch]`."""

    def mean(self) -> tf.Tensor:
        """See `Posterior.mean`; over 64 samples of a fixed seed."""
        return tf.reduce_mean(self._moment_samples(), axis=0)

    def variance(self) -> tf.Tensor:
        """See `Posterior.variance`; over 64 samples of a fixed seed."""
        return tf.math.reduce_variance(self._moment_samples(), axis=0)

    def sample(
        self,
        num_samples: int | tf.Tensor,
        seed: tf.Tensor,
        temperature: float | tf.Tensor | None = None,
    ) -> tf.Tensor:
        """See `Posterior.sample`; the temperature is the one of the noise that is transformed."""
        return self.forward(self.base_sample(num_samples, seed, temperature))[0]

    def sample_and_log_ratio(
        self, num_samples: int | tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Posterior.sample_and_log_ratio`."""
        noise = self.base_sample(num_samples, seed, None)
        z, log_volume = self.forward(noise)
        # log q(z) = log q(noise) - log |det dz / dnoise|.
        return z, standard_normal_log_prob(z) - (self.base_log_prob(noise) - log_volume)

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """See `Posterior.log_prob`."""
        noise, log_volume = self.inverse(z)
        return self.base_log_prob(noise) + log_volume

    def forward(self, noise: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns z, `[..., batch, latent]`, and `log |det dz / dnoise|`, `[..., batch]`."""
        value, log_volume = self.flow.forward(noise, self.features)
        z = self.loc + tf.exp(self.log_scale) * value
        return z, log_volume + tf.reduce_sum(self.log_scale, axis=-1)

    def inverse(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the noise, `[..., batch, latent]`, and `log |det dnoise / dz|`."""
        value = (z - self.loc) * tf.exp(-self.log_scale)
        noise, log_volume = self.flow.inverse(value, self.features)
        return noise, log_volume - tf.reduce_sum(self.log_scale, axis=-1)

    def distribution(self) -> Distribution:
        """See `Posterior.distribution`: a `tfd.TransformedDistribution`."""
        return transformed(self.base_distribution(), self.forward, self.inverse)

    def take(self, index: int | slice) -> "TransformedPosterior":
        """See `Posterior.take`."""
        return type(self)(*(part[index] for part in self))

    def _moment_samples(self) -> tf.Tensor:
        with random.common_numbers():
            return self.sample(_MOMENT_SAMPLES, tf.constant([0, 0]))


class _Parameters(NamedTuple):
    loc: tf.Tensor
    log_scale: tf.Tensor
    features: tf.Tensor


def with_flow(base: type[TransformedPosterior], flow: Any) -> Any:
    """Makes a class of posteriors of a flow; `tf.function` knows named tuples by their names."""
    return type(f"{base.__name__}{next(_COUNTER)}", (base,), {"flow": flow})


class FlowPosterior(_Parameters, TransformedPosterior):
    """A flow of standard normal noise."""

    def base_sample(
        self,
        num_samples: int | tf.Tensor,
        seed: tf.Tensor,
        temperature: float | tf.Tensor | None,
    ) -> tf.Tensor:
        """See `TransformedPosterior.base_sample`."""
        shape = tf.concat([[num_samples], tf.shape(self.loc)], 0)
        noise = tf.ensure_shape(random.batch_normal(shape, seed), [None, *self.loc.shape])
        return noise if temperature is None else temperature * noise

    def base_log_prob(self, noise: tf.Tensor) -> tf.Tensor:
        """See `TransformedPosterior.base_log_prob`."""
        return standard_normal_log_prob(noise)

    def base_distribution(self) -> Distribution:
        """See `TransformedPosterior.base_distribution`."""
        zeros = tf.zeros_like(self.loc)
        return diagonal_normal(zeros, zeros)


class _MixtureParameters(NamedTuple):
    loc: tf.Tensor
    log_scale: tf.Tensor
    features: tf.Tensor
    component_loc: tf.Tensor
    component_log_variance: tf.Tensor
    weight: tf.Tensor


class MixtureFlowPosterior(_MixtureParameters, TransformedPosterior):
    """A flow of noise from a mixture of diagonal Gaussians, `[batch, component, latent]`."""

    def base(self) -> GaussianMixture:
        """Returns the density of the noise."""
        return GaussianMixture(self.component_loc, self.component_log_variance, self.weight)

    def base_sample(
        self,
        num_samples: int | tf.Tensor,
        seed: tf.Tensor,
        temperature: float | tf.Tensor | None,
    ) -> tf.Tensor:
        """See `TransformedPosterior.base_sample`; the temperature is within components."""
        noise = self.base().sample(num_samples, seed, temperature)
        return tf.ensure_shape(noise, [None, *self.loc.shape])

    def base_log_prob(self, noise: tf.Tensor) -> tf.Tensor:
        """See `TransformedPosterior.base_log_prob`."""
        return self.base().log_prob(noise)

    def base_distribution(self) -> Distribution:
        """See `TransformedPosterior.base_distribution`."""
        return self.base().distribution()
