"""A conditional normalizing flow over a mixture of Gaussians."""

from typing import Any

import keras
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.samplers.coupling_flow import CouplingFlow
from tf_mvae.samplers.flow_posterior import MixtureFlowPosterior

__all__ = ["MixtureFlow"]

_MAX_LOG_VARIANCE = 16.0


@keras.saving.register_keras_serializable("tf_mvae")
class MixtureFlow(CouplingFlow):
    """A `CouplingFlow` whose noise is drawn from a mixture of diagonal Gaussians.

        z = loc(S) + scale(S) f_1(... f_K(noise; h(S)); h(S)),
        noise ~ sum_c w_c(S) N(m_c(S), diag(v_c(S)))

    (Izmailov, Kirichenko, Finzi and Wilson, *Semi-supervised learning with normalizing flows*,
    ICML 2020, have a flow over a mixture.) A flow is continuous and keeps connected what is
    connected: from one Gaussian it draws bridges between the classes that latents fall into.
    Components need none. Weights, means and variances are linear in the features of S; the
    means are random at first, since components that begin alike stay alike.
    """

    posterior_type = MixtureFlowPosterior

    def __init__(
        self,
        latent_dim: int,
        num_columns: int,
        num_layers: int = 8,
        units: int = 256,
        width: int = 256,
        max_log_scale: float = 2.0,
        permutation_seed: int = 0,
        num_components: int = 32,
        **kwargs,
    ):
        """Creates the flow and all its weights.

        Args:
            latent_dim: See `CouplingFlow`, as all but the last.
            num_columns: The model's `num_columns`.
            num_layers: K, the number of coupling layers.
            units: Width of the two hidden layers of a coupling layer's network.
            width: Size of the features of a subset.
            max_log_scale: Bound of a coupling layer's log-scales.
            permutation_seed: Seed of the permutations.
            num_components: The number of Gaussians.
            **kwargs: Keras' own arguments for a layer.

        Raises:
            UserError: A size is below 1, or the bound is not positive.
        """
        self.num_components = checks.positive_integer("num_components", num_components)
        super().__init__(
            latent_dim,
            num_columns,
            num_layers,
            units,
            width,
            max_log_scale,
            permutation_seed,
            **kwargs,
        )

    def _build_base(self) -> None:
        """See `CouplingFlow`: layers for the components' weights, means and variances."""
        size = self.num_components * self.latent_dim

        def dense(units, name, **kwargs):
            return keras.layers.Dense(
                units, kernel_initializer="zeros", dtype="float32", name=name, **kwargs
            )

        spread = keras.initializers.RandomNormal(stddev=0.5, seed=0)
        self.logits = dense(self.num_components, "logits")
        self.means = dense(size, "means", bias_initializer=spread)
        self.log_variances = dense(size, "log_variances")

    def _base_parameters(self, features: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """See `CouplingFlow`: means, log-variances and weights."""
        shape = [-1, self.num_components, self.latent_dim]
        means, raw = (
            tf.reshape(layer(features), shape) for layer in (self.means, self.log_variances)
        )
        log_variances = _MAX_LOG_VARIANCE * tf.tanh(raw / _MAX_LOG_VARIANCE)
        return means, log_variances, tf.nn.softmax(self.logits(features))

    def get_config(self) -> dict[str, Any]:
        """See `LatentSampler.get_config`."""
        return {**super().get_config(), "num_components": self.num_components}
