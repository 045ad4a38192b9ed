"""A mixture density network."""

from typing import Any

import keras
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.posteriors import Context, GaussianMixture
from tf_mvae.samplers.components import component_layer, gaussian_components
from tf_mvae.samplers.sampler import LatentSampler

__all__ = ["MixtureDensity"]


@keras.saving.register_keras_serializable("tf_mvae")
class MixtureDensity(LatentSampler):
    """`p(z | S) = sum_c w_c(S) N(loc_c(S), diag(variance_c(S)))`.

    (Bishop, *Mixture density networks*, 1994.) The components' means are those of `q(z | S)`
    plus steps of its scale; weights, steps and scales are linear in the features of S. Simple
    and quick to fit; each component is a diagonal Gaussian.
    """

    def __init__(
        self,
        latent_dim: int,
        num_columns: int,
        num_components: int = 32,
        width: int = 256,
        **kwargs,
    ):
        """Creates the network and all its weights.

        Args:
            latent_dim: Size of the latent.
            num_columns: The model's `num_columns`.
            num_components: The number of components.
            width: Size of the features of a subset.
            **kwargs: Keras' own arguments for a layer.

        Raises:
            UserError: A size is below 1.
        """
        super().__init__(latent_dim, num_columns, width, **kwargs)
        self.num_components = checks.positive_integer("num_components", num_components)

        size = self.num_components * self.latent_dim
        self.logits = component_layer(self.num_components, "logits")
        self.log_factors = component_layer(size, "log_factors")
        self.steps = component_layer(size, "steps", spread=True)
        self._build_on_zeros()

    def of(self, context: Context) -> GaussianMixture:
        """See `LatentSampler.of`."""
        features = self.features(context)
        steps, log_factors, weight = gaussian_components(
            features, self.steps, self.log_factors, self.logits
        )
        log_variance = context.log_variance[:, tf.newaxis]
        loc = context.loc[:, tf.newaxis] + tf.exp(0.5 * log_variance) * steps
        return GaussianMixture(loc, log_variance + log_factors, weight)

    def get_config(self) -> dict[str, Any]:
        """See `LatentSampler.get_config`."""
        return {**super().get_config(), "num_components": self.num_components}
