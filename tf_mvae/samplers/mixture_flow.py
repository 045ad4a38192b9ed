"""A conditional normalizing flow over a mixture of Gaussians."""

from typing import Any

import keras
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.samplers.components import component_layer, gaussian_components
from tf_mvae.samplers.coupling_flow import CouplingFlow
from tf_mvae.samplers.flow_posterior import MixtureFlowPosterior

__all__ = ["MixtureFlow"]


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

    def __init__(self, *sizes: int, num_components: int = 32, **kwargs):
        """Creates the flow and all its weights.

        Args:
            *sizes: Those of `CouplingFlow`, `latent_dim` and `num_columns` first.
            num_components: The number of Gaussians.
            **kwargs: The arguments of `CouplingFlow` by name.

        Raises:
            UserError: A size is below 1, or the bound is not positive.
        """
        self.num_components = checks.positive_integer("num_components", num_components)
        super().__init__(*sizes, **kwargs)

    def _build_base(self) -> None:
        """See `CouplingFlow`: layers for the components' weights, means and variances."""
        size = self.num_components * self.latent_dim
        self.logits = component_layer(self.num_components, "logits")
        self.means = component_layer(size, "means", spread=True)
        self.log_variances = component_layer(size, "log_variances")

    def _base_parameters(self, features: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """See `CouplingFlow`: means, log-variances and weights."""
        return gaussian_components(features, self.means, self.log_variances, self.logits)

    def get_config(self) -> dict[str, Any]:
        """See `LatentSampler.get_config`."""
        return {**super().get_config(), "num_components": self.num_components}
