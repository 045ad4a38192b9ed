"""A conditional normalizing flow of affine coupling layers."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.posteriors import Context
from tf_mvae.samplers.coupling import AffineCoupling
from tf_mvae.samplers.flow_posterior import FlowPosterior, TransformedPosterior, with_flow
from tf_mvae.samplers.sampler import LatentSampler

__all__ = ["CouplingFlow"]

_MAX_SHIFT = 8.0  # bound of the logarithm of the base's scale


@keras.saving.register_keras_serializable("tf_mvae")
class CouplingFlow(LatentSampler):
    """Affine coupling layers applied to a Gaussian that is initialised with `q(z | S)`.

        z = loc(S) + scale(S) f_1(... f_K(noise; h(S)); h(S)),   noise ~ N(0, I)

    (Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, ICLR 2017, made
    conditional.) Each `f_k` scales and shifts one half of the dimensions by the output of a
    network, whose inputs are the other half and the features `h(S)`. A seeded permutation selects
    the halves. `loc` and `scale` are those of the model's `q(z | S)` plus a linear map of the
    features. All maps are initialised with zeros, so that an unfitted flow is `q(z | S)` (for a
    mixture: the Gaussian with its mean and variances). The density is exact, and sampling takes one
    pass.
    """

    posterior_type: type[TransformedPosterior] = FlowPosterior

    def __init__(
        self,
        latent_dim: int,
        num_columns: int,
        num_layers: int = 8,
        units: int = 256,
        width: int = 256,
        max_log_scale: float = 2.0,
        permutation_seed: int = 0,
        **kwargs,
    ):
        """Creates the flow and all its weights.

        Args:
            latent_dim: Size of the latent.
            num_columns: The model's `num_columns`.
            num_layers: K, the number of coupling layers.
            units: Width of the two hidden layers of a coupling layer's network.
            width: Size of the features of a subset.
            max_log_scale: Bound of a coupling layer's log-scales.
            permutation_seed: Seed of the permutations.
            **kwargs: Keras' own arguments for a layer.

        Raises:
            UserError: A size is below 1, or the bound is not positive.
        """
        super().__init__(latent_dim, num_columns, width, **kwargs)
        self.num_layers = checks.positive_integer("num_layers", num_layers)
        self.units = checks.positive_integer("units", units)
        self.max_log_scale = checks.positive("max_log_scale", max_log_scale)
        self.permutation_seed = checks.non_negative_integer("permutation_seed", permutation_seed)
        self.base = keras.layers.Dense(
            2 * self.latent_dim, kernel_initializer="zeros", dtype="float32", name="base"
        )
        self.couplings = [
            self._layer(permutation, f"coupling_{index}")
            for index, permutation in enumerate(self._permutations())
        ]
        self._posterior = with_flow(self.posterior_type, self)
        self._build_base()
        self._build_on_zeros()

    def of(self, context: Context) -> TransformedPosterior:
        """See `LatentSampler.of`."""
        features = self.features(context)
        shift, log_factor = tf.split(self.base(features), 2, axis=-1)
        log_factor = _MAX_SHIFT * tf.tanh(log_factor / _MAX_SHIFT)
        log_scale = 0.5 * context.log_variance + log_factor
        return self._posterior(
            context.loc + shift, log_scale, features, *self._base_parameters(features)
        )

    def _layer(self, permutation: np.ndarray, name: str) -> keras.layers.Layer:
        """Creates one layer of the flow, which has `forward` and `inverse`."""
        return AffineCoupling(permutation, self.units, self.max_log_scale, name=name)

    def _build_base(self) -> None:
        """Creates the layers of the noise's density; here there are none."""

    def _base_parameters(self, features: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Returns the parameters of the noise's density; here there are none."""
        return ()

    def forward(self, noise: tf.Tensor, features: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Runs the coupling layers from noise, `[..., batch, latent]`; see the posterior."""
        value, total = noise, tf.zeros([])
        for coupling in reversed(self.couplings):
            value, log_volume = coupling.forward(value, features)
            total += log_volume
        return value, total

    def inverse(self, value: tf.Tensor, features: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Runs the coupling layers back to noise; see the posterior."""
        total = tf.zeros([])
        for coupling in self.couplings:
            value, log_volume = coupling.inverse(value, features)
            total += log_volume
        return value, total

    def _permutations(self) -> list[np.ndarray]:
        """Returns an order for each layer; of two in a row the halves are exchanged."""
        rng = np.random.default_rng(self.permutation_seed)
        orders = []
        for index in range(self.num_layers):
            last = orders[-1] if index % 2 else rng.permutation(self.latent_dim)
            orders.append(last[::-1] if index % 2 else last)
        return orders

    def get_config(self) -> dict[str, Any]:
        """See `LatentSampler.get_config`."""
        return {
            **super().get_config(),
            "num_layers": self.num_layers,
            "units": self.units,
            "max_log_scale": self.max_log_scale,
            "permutation_seed": self.permutation_seed,
        }
