"""A conditional normalizing flow of affine coupling layers."""

import itertools
from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tf_mvae import checks
from tf_mvae.ops import random
from tf_mvae.posteriors import Context, Posterior
from tf_mvae.posteriors.posterior import standard_normal_log_prob
from tf_mvae.samplers.coupling import AffineCoupling
from tf_mvae.samplers.sampler import LatentSampler

__all__ = ["CouplingFlow", "FlowPosterior"]

_MAX_SHIFT = 8.0  # of the logarithm of the base's scale
_MOMENT_SAMPLES = 64
_COUNTER = itertools.count()


class _Parameters(NamedTuple):
    loc: tf.Tensor
    log_scale: tf.Tensor
    features: tf.Tensor


class FlowPosterior(_Parameters, Posterior):
    """`z = loc + exp(log_scale) f(noise; features)`, with an invertible f; all `[batch, ...]`.

    Each flow has a subclass of its own, whose `flow` is the layer, so that a distribution is
    tensors alone and passes through `tf.function`.
    """

    flow: ClassVar["CouplingFlow"]

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
        """See `Posterior.sample`; the temperature is that of the noise that is transformed."""
        noise = self._noise(num_samples, seed)
        return self.forward(noise if temperature is None else temperature * noise)[0]

    def sample_and_log_ratio(
        self, num_samples: int | tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Posterior.sample_and_log_ratio`."""
        noise = self._noise(num_samples, seed)
        z, log_volume = self.forward(noise)
        log_q = standard_normal_log_prob(noise) - log_volume
        return z, standard_normal_log_prob(z) - log_q

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """See `Posterior.log_prob`."""
        noise, log_volume = self.inverse(z)
        return standard_normal_log_prob(noise) + log_volume

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

    def distribution(self) -> tfp.distributions.Distribution:
        """See `Posterior.distribution`: a `tfd.TransformedDistribution`."""
        tfd, tfb = tfp.distributions, tfp.bijectors
        base = tfd.MultivariateNormalDiag(tf.zeros_like(self.loc), tf.ones_like(self.loc))
        bijector = tfb.Inline(
            forward_fn=lambda noise: self.forward(noise)[0],
            inverse_fn=lambda z: self.inverse(z)[0],
            inverse_log_det_jacobian_fn=lambda z: self.inverse(z)[1],
            forward_log_det_jacobian_fn=lambda noise: self.forward(noise)[1],
            forward_min_event_ndims=1,
        )
        return tfd.TransformedDistribution(base, bijector)

    def take(self, index: int | slice) -> "FlowPosterior":
        """See `Posterior.take`."""
        return type(self)(*(part[index] for part in self))

    def _noise(self, num_samples: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        shape = tf.concat([[num_samples], tf.shape(self.loc)], 0)
        return tf.ensure_shape(random.batch_normal(shape, seed), [None, *self.loc.shape])

    def _moment_samples(self) -> tf.Tensor:
        return self.sample(_MOMENT_SAMPLES, tf.constant([0, 0]))


@keras.saving.register_keras_serializable("tf_mvae")
class CouplingFlow(LatentSampler):
    """Affine coupling layers over a Gaussian that begins as `q(z | S)`.

        z = loc(S) + scale(S) f_1(... f_K(noise; h(S)); h(S)),   noise ~ N(0, I)

    (Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, ICLR 2017, made
    conditional.) Each `f_k` scales and shifts one half of the numbers by a network of the other
    half and of the features `h(S)`; the halves are those of a permutation that a seed fixes.
    `loc` and `scale` are those of the model's `q(z | S)` plus a linear map of the features. All
    maps are zero at first, so that a flow that is not fitted is `q(z | S)` (of a mixture: the
    Gaussian of its mean and variances). The density is exact, and sampling takes one pass.
    """

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
            AffineCoupling(permutation, self.units, self.max_log_scale, name=f"coupling_{index}")
            for index, permutation in enumerate(self._permutations())
        ]
        # tf.function distinguishes named tuples by their names.
        name = f"FlowPosterior{next(_COUNTER)}"
        self._posterior = type(name, (FlowPosterior,), {"flow": self})
        self._build_on_zeros()

    def of(self, context: Context) -> FlowPosterior:
        """See `LatentSampler.of`."""
        features = self.features(context)
        shift, log_factor = tf.split(self.base(features), 2, axis=-1)
        log_factor = _MAX_SHIFT * tf.tanh(log_factor / _MAX_SHIFT)
        log_scale = 0.5 * context.log_variance + log_factor
        return self._posterior(context.loc + shift, log_scale, features)

    def forward(self, noise: tf.Tensor, features: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Runs the coupling layers from noise, `[..., batch, latent]`; see `FlowPosterior`."""
        value, total = noise, tf.zeros([])
        for coupling in reversed(self.couplings):
            value, log_volume = coupling.forward(value, features)
            total += log_volume
        return value, total

    def inverse(self, value: tf.Tensor, features: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Runs the coupling layers back to noise; see `FlowPosterior`."""
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
