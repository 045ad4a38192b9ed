"""The base class of posteriors `q(z | S)`."""

import abc
import math
from typing import ClassVar

import tensorflow as tf

from tf_mvae.distributions.tfp import Distribution
from tf_mvae.errors import UserError

__all__ = ["Posterior", "standard_normal_log_prob"]


class Posterior(abc.ABC):
    """`q(z | S)` of many subsets S at once, one distribution for each entry of `[...]`.

    In a training step `[...]` is `[term, batch]`, elsewhere `[batch]`. Implementations are
    named tuples of tensors, so that they pass through `tf.function` as they are.

    Attributes:
        is_guided: Whether `guided_sample` takes a guidance of its own.
    """

    is_guided: ClassVar[bool] = False

    @abc.abstractmethod
    def mean(self) -> tf.Tensor:
        """Returns the means, `[..., latent]`."""

    @abc.abstractmethod
    def variance(self) -> tf.Tensor:
        """Returns the variances of the latent dimensions, `[..., latent]`."""

    @abc.abstractmethod
    def sample(
        self,
        num_samples: int | tf.Tensor,
        seed: tf.Tensor,
        temperature: float | tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Draws reparameterised samples, `[sample, ..., latent]`.

        Under `tf.distribute` a replica draws the rows that its examples have in the whole
        batch, so that a step does not depend on the number of replicas.

        Args:
            num_samples: Samples of each distribution.
            seed: Two integers, the same on every replica.
            temperature: Factor on standard deviations; 1 if omitted.
        """

    def guided_sample(
        self,
        num_samples: int | tf.Tensor,
        seed: tf.Tensor,
        temperature: float | tf.Tensor | None,
        guidance: float,
    ) -> tf.Tensor:
        """Draws samples that S is more typical of, `[sample, ..., latent]`; for some kinds.

        Args:
            num_samples: See `sample`.
            seed: See `sample`.
            temperature: See `sample`.
            guidance: How much more; at 1 they are those of `sample`.

        Raises:
            NotImplementedError: `is_guided` is false.
        """
        raise NotImplementedError(f"{type(self).__name__} has no guidance of its own")

    @abc.abstractmethod
    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """Returns the log-density in nats, `[sample, ...]`.

        Args:
            z: `[sample, ..., latent]`.
        """

    @abc.abstractmethod
    def distribution(self) -> Distribution:
        """Returns the TFP distribution with batch `[...]` and events `[latent]`."""

    @abc.abstractmethod
    def take(self, index: int | slice) -> "Posterior":
        """Returns the distributions at an index of the first axis of `[...]`."""

    def log_variance(self) -> tf.Tensor:
        """Returns the logarithms of `variance`, `[..., latent]`."""
        return tf.math.log(self.variance())

    def kl_to_prior(self, z: tf.Tensor) -> tf.Tensor:
        """Returns `KL(q(z | S) || N(0, I))` in nats, `[...]`.

        Args:
            z: Samples, `[sample, ..., latent]`: where there is no closed form, the mean of
                `log q(z) - log p(z)` over them.
        """
        return tf.reduce_mean(self.log_prob(z) - standard_normal_log_prob(z), axis=0)

    def charged_kl(self, z: tf.Tensor, kl: tf.Tensor, free_bits: float) -> tf.Tensor:
        """Returns the divergence that an objective with free bits charges, `[...]`.

        Args:
            z: See `kl_to_prior`.
            kl: The result of `kl_to_prior`, returned unchanged without free bits.
            free_bits: Nats a latent dimension.

        Raises:
            UserError: The divergence is not a sum over latent dimensions.
        """
        if free_bits:
            raise UserError(
                "free_bits needs a divergence that is a sum over latent dimensions, which that "
                "of a mixture is not; set free_bits=0"
            )
        return kl

    def sample_and_log_ratio(
        self, num_samples: int | tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws z, `[sample, ..., latent]`; returns it with `log p(z) - log q(z)`, `[sample, ...]`.

        `p(z)` is the prior `N(0, I)`.
        """
        z = self.sample(num_samples, seed)
        return z, standard_normal_log_prob(z) - self.log_prob(z)


def standard_normal_log_prob(z: tf.Tensor) -> tf.Tensor:
    """Returns the log-density of `N(0, I)` at `[..., latent]`, in nats, `[...]`."""
    size = z.shape[-1]
    return -0.5 * (tf.reduce_sum(tf.square(z), axis=-1) + size * math.log(2 * math.pi))
