"""A mixture of experts over a shared latent, with private latents."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.modality import Modality
from tf_mvae.posteriors.gaussian import DiagonalGaussian
from tf_mvae.posteriors.kind import Encoded, ExpertKind, experts_as_posteriors
from tf_mvae.posteriors.latent import LatentSpace, PrivatePriors
from tf_mvae.posteriors.mixture import GaussianMixture

__all__ = ["PrivateMixtureOfExperts"]


@keras.saving.register_keras_serializable("tf_mvae")
class PrivateMixtureOfExperts(ExpertKind):
    """`q(z | S) = 1/|S| sum_{i in S} q(u | x_i) prod_{n in S} q(w_n | x_n) prod_{n not in S} p(w_n)`.

    (Palumbo, Daunhawer and Vogt, ICLR 2023.) `alone` gives what a training term of modality m
    samples: u and `w_m` from its expert, the other `w_n` from auxiliary priors.
    """  # noqa: E501

    min_modalities = 2
    is_mixture = True

    def __init__(self, latent: LatentSpace):
        """Creates the kind.

        Args:
            latent: The latent space.
        """
        self.latent = checks.instance(
            "latent", latent, LatentSpace, "a tf_mvae.posteriors.LatentSpace"
        )

    def make_layers(
        self, modalities: Sequence[Modality], latent_dim: int
    ) -> dict[str, keras.layers.Layer]:
        """Returns the auxiliary priors."""
        self._priors = PrivatePriors(self.latent.size - self.latent.shared)
        return {"private_priors": self._priors}

    def of(self, encoded: Encoded, subset: tf.Tensor) -> GaussianMixture:
        """See `PosteriorKind.of`."""
        shared = self.latent.shared
        inside = subset[..., tf.newaxis]
        parts = []
        for part in encoded.experts:
            # Experts are zero, as the prior is, in the private latents of others.
            private = tf.reduce_sum(part[..., shared:] * inside, axis=-2, keepdims=True)
            u = part[..., :shared] * inside
            private = tf.broadcast_to(
                private, tf.concat([tf.shape(u)[:-1], [self.latent.size - shared]], 0)
            )
            parts.append(tf.concat([u, private], -1))
        return GaussianMixture.of_components(DiagonalGaussian(*parts), subset)

    def alone(self, encoded: Encoded, present: tf.Tensor) -> DiagonalGaussian:
        """See `ExpertKind.alone`."""
        own = experts_as_posteriors(encoded, present)
        rows = []
        for index, name in enumerate(self.latent.private):
            place = self.latent.private_slice(name)
            others = tf.concat(
                [
                    tf.ones([place.start - self.latent.shared]),
                    tf.zeros([place.stop - place.start]),
                    tf.ones([self.latent.size - place.stop]),
                ],
                0,
            )
            auxiliary = self._priors.log_variance * others
            rows.append(own.log_variances[index] + tf.pad(auxiliary, [[self.latent.shared, 0]]))
        return DiagonalGaussian(own.loc, tf.stack(rows))

    def get_config(self) -> dict[str, Any]:
        """See `PosteriorKind.get_config`."""
        return {"latent": keras.saving.serialize_keras_object(self.latent)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "PrivateMixtureOfExperts":
        """See `PosteriorKind.from_config`."""
        return cls(keras.saving.deserialize_keras_object(config["latent"]))
