"""Kinds of samplers that `samplers.py` compares, and those of them that are not in the package."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tf_mvae.ops import random
from tf_mvae.posteriors import Context
from tf_mvae.samplers import (
    CouplingFlow,
    FlowMatching,
    LatentSampler,
    MixtureDensity,
    MixtureFlow,
)
from tf_mvae.training import Run

__all__ = ["KINDS", "ActiveFlow", "AutoregressiveFlow", "PlainMatching", "StandardisedFlow"]

_ACTIVE = 0.01  # nats that a dimension of q(z | all) says about an example
_STATISTICS = 20  # batches that the latent's statistics are taken from


class AutoregressiveLayer(keras.layers.Layer):
    """A masked autoregressive layer: the density takes one pass, a sample one pass a number.

        inverse: b_i = (z_i - t_i(z_<i, h)) exp(-s_i(z_<i, h))

    (Papamakarios, Pavlakou and Murray, *Masked autoregressive flow for density estimation*,
    NeurIPS 2017, with the masks of MADE, Germain et al., ICML 2015.)
    """

    def __init__(self, order: Sequence[int], units: int, max_log_scale: float, **kwargs):
        """Creates the weights; `order` says which number comes first."""
        super().__init__(**{"dtype": "float32", **kwargs})
        size, degrees = len(order), np.argsort(order)
        hidden = np.arange(units) % max(1, size - 1)
        self._masks = (
            (hidden[None] >= degrees[:, None]).astype(np.float32),
            (hidden[None] >= hidden[:, None]).astype(np.float32),
            np.tile((degrees[None] > hidden[:, None]).astype(np.float32), (1, 2)),
        )
        self._order, self._limit = tuple(order), float(max_log_scale)
        shapes = ((size, units), (units, units), (units, 2 * size))
        kinds = ("glorot_uniform", "glorot_uniform", "zeros")
        self.kernels = [
            self.add_weight(shape=shape, initializer=kind, name=f"kernel_{index}")
            for index, (shape, kind) in enumerate(zip(shapes, kinds, strict=True))
        ]
        self.of_features = keras.layers.Dense(units, dtype="float32", name="of_features")
        self.biases = [
            self.add_weight(shape=shape[1:], initializer="zeros", name=f"bias_{index}")
            for index, shape in enumerate(shapes[1:])
        ]
        self.built = True

    def inverse(self, value: tf.Tensor, features: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the noise of `[..., batch, size]`, and the log-volume `[..., batch]`."""
        log_scale, shift = self._parameters(value, self.of_features(features))
        return (value - shift) * tf.exp(-log_scale), -tf.reduce_sum(log_scale, axis=-1)

    def forward(self, noise: tf.Tensor, features: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns what becomes of noise, a number after the other, and the log-volume."""
        features, order = self.of_features(features), tf.constant(self._order)

        def next_number(index, value):
            log_scale, shift = self._parameters(value, features)
            chosen = tf.one_hot(order[index], len(self._order))
            return index + 1, value + chosen * (noise * tf.exp(log_scale) + shift - value)

        start = tf.constant(0), tf.zeros_like(noise)
        _, value = tf.while_loop(lambda index, _: index < len(self._order), next_number, start)
        log_scale, _ = self._parameters(value, features)
        return value, tf.reduce_sum(log_scale, axis=-1)

    def _parameters(self, value: tf.Tensor, features: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        first, second, last = (
            tf.convert_to_tensor(kernel) * mask
            for kernel, mask in zip(self.kernels, self._masks, strict=True)
        )
        hidden = tf.nn.silu(tf.tensordot(value, first, 1) + features)
        hidden = tf.nn.silu(tf.tensordot(hidden, second, 1) + self.biases[0])
        raw, shift = tf.split(tf.tensordot(hidden, last, 1) + self.biases[1], 2, axis=-1)
        return self._limit * tf.tanh(raw / self._limit), shift


class AutoregressiveFlow(CouplingFlow):
    """`CouplingFlow` with autoregressive layers, in orders that are reversed in turns."""

    def __init__(self, *sizes: int, num_layers: int = 5, units: int = 256, **kwargs):
        """Creates the flow; see `CouplingFlow`."""
        super().__init__(*sizes, num_layers=num_layers, units=units, **kwargs)

    def _layer(self, order: np.ndarray, name: str) -> keras.layers.Layer:
        """See `CouplingFlow`."""
        return AutoregressiveLayer(order.tolist(), self.units, self.max_log_scale, name=name)


class ActiveFlow(MixtureFlow):
    """A `MixtureFlow` whose layers move some dimensions only; the others stay as noise is."""

    def __init__(self, *sizes: int, active: Sequence[int], **kwargs):
        """Creates the flow; `active` are the dimensions that layers move."""
        self._active = np.asarray(active)
        super().__init__(*sizes, **kwargs)

    def _layer(self, order: np.ndarray, name: str) -> keras.layers.Layer:
        """See `CouplingFlow`."""
        ranks = np.argsort(np.argsort(order[np.isin(order, self._active)]))
        return super()._layer(ranks, name)

    def forward(self, noise: tf.Tensor, features: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See `CouplingFlow.forward`."""
        return self._of_active(super().forward, noise, features)

    def inverse(self, value: tf.Tensor, features: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See `CouplingFlow.inverse`."""
        return self._of_active(super().inverse, value, features)

    def _of_active(self, run: Callable[..., Any], value: tf.Tensor, features: tf.Tensor) -> Any:
        others = np.setdiff1d(np.arange(self.latent_dim), self._active)
        moved, log_volume = run(tf.gather(value, self._active, axis=-1), features)
        parts = tf.concat([moved, tf.gather(value, others, axis=-1)], axis=-1)
        back = np.argsort(np.concatenate([self._active, others]))
        return tf.gather(parts, back, axis=-1), log_volume


class StandardisedFlow(MixtureFlow):
    """A `MixtureFlow` of latents less their mean over their standard deviation, the same for all S.

    The flow of the package begins as `q(z | S)` instead.
    """

    def __init__(self, *sizes: int, mean: np.ndarray, variance: np.ndarray, **kwargs):
        """Creates the flow; `mean` and `variance` are those of latents, `[latent]`."""
        self._mean, self._log_variance = np.float32(mean), np.log(np.float32(variance))
        super().__init__(*sizes, **kwargs)

    def of(self, context: Context) -> Any:
        """See `LatentSampler.of`."""
        posterior = super().of(context)
        shift, log_factor = posterior.loc - context.loc, 0.5 * context.log_variance
        log_scale = posterior.log_scale - log_factor + 0.5 * self._log_variance
        return posterior._replace(loc=self._mean + shift, log_scale=log_scale)


class _Features(NamedTuple):
    features: tf.Tensor


class _Velocities(_Features):
    """Tensors alone, as what a `tf.function` returns has to be; each sampler has a class of it."""

    sampler: ClassVar[Any]
    is_guided: ClassVar[bool] = False

    def sample(
        self, num_samples: int, seed: tf.Tensor, temperature: float | None = None
    ) -> tf.Tensor:
        """Integrates from noise at t = 0 to a latent at t = 1, by Heun's method."""
        shape = tf.stack([num_samples, tf.shape(self.features)[0], self.sampler.latent_dim])
        z = random.stateless_normal(shape, seed) * (1.0 if temperature is None else temperature)
        size = 1 / self.sampler.num_steps
        for step in range(self.sampler.num_steps):
            here = self.sampler.velocity(z, step * size, self.features)
            there = self.sampler.velocity(z + size * here, (step + 1) * size, self.features)
            z += 0.5 * size * (here + there)
        return self.sampler.mean + self.sampler.scale * z

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """Returns what is maximised: minus the matching loss at one random t, no density."""
        target = (z - self.sampler.mean) / self.sampler.scale
        noise, time = tf.random.normal(tf.shape(z)), tf.random.uniform(tf.shape(z)[:-1])
        part = time[..., tf.newaxis]
        found = self.sampler.velocity(noise + part * (target - noise), time, self.features)
        return -tf.reduce_sum(tf.square(found - (target - noise)), axis=-1)


class PlainMatching(LatentSampler):
    """A velocity field from noise to latents, by conditional flow matching (Lipman et al., 2023).

    Straight paths, a residual network; the density would take an integral, and is not computed.
    Unlike the package's, times are uniform, latents are standardised, and nothing is guided.
    """

    has_fast_density = False

    def __init__(
        self, *sizes: int, mean: np.ndarray, variance: np.ndarray, units: int = 512, **kwargs
    ):
        """Creates the network; `mean` and `variance` are those of latents, `[latent]`."""
        super().__init__(*sizes, **kwargs)
        self.mean, self.scale = np.float32(mean), np.sqrt(np.float32(variance))
        self.num_steps = 20
        self.first = keras.layers.Dense(units, name="first")
        self.of_features = keras.layers.Dense(units, name="of_features")
        self.of_time = keras.layers.Dense(units, name="of_time")
        self.blocks = [
            [keras.layers.Dense(units, "silu"), keras.layers.Dense(units)] for _ in range(3)
        ]
        self.last = keras.layers.Dense(self.latent_dim, kernel_initializer="zeros", name="last")
        self._velocities = type("Velocities", (_Velocities,), {"sampler": self})
        self._build_on_zeros()

    def of(self, context: Context) -> Any:
        """See `LatentSampler.of`."""
        return self._velocities(self.features(context))

    def velocity(self, z: tf.Tensor, time: Any, features: tf.Tensor) -> tf.Tensor:
        """Returns dz / dt, `[sample, batch, latent]`, at times `[sample, batch]` or one."""
        time = tf.broadcast_to(tf.cast(time, tf.float32), tf.shape(z)[:-1])[..., tf.newaxis]
        waves = 2 * np.pi * np.float32(2.0 ** np.arange(-2, 4)) * time
        waves = self.of_time(tf.concat([tf.sin(waves), tf.cos(waves)], axis=-1))
        hidden = self.first(z) + self.of_features(features) + waves
        for inner, outer in self.blocks:
            hidden += outer(inner(tf.nn.silu(hidden)))
        return self.last(tf.nn.silu(hidden))


def latent_statistics(run: Run) -> dict[str, np.ndarray]:
    """Returns mean and variance of `z ~ q(z | all)`, and each dimension's KL, all `[latent]`."""
    loc, log_variance = [], []
    for batch in run.batches("validation", 256).take(_STATISTICS):
        posterior = run.model.posterior(batch["x"], batch.get("mask"))
        loc.append(posterior.mean().numpy())
        log_variance.append(np.log(posterior.variance().numpy()))
    loc, log_variance = np.concatenate(loc), np.concatenate(log_variance)
    variance = np.exp(log_variance)
    kl = 0.5 * (variance + loc**2 - 1 - log_variance).mean(0)
    return {"mean": loc.mean(0), "variance": loc.var(0) + variance.mean(0), "kl": kl}


def _moments(run: Run) -> dict[str, np.ndarray]:
    found = latent_statistics(run)
    return {"mean": found["mean"], "variance": found["variance"]}


def _active(run: Run) -> np.ndarray:
    return np.flatnonzero(latent_statistics(run)["kl"] > _ACTIVE)


KINDS: dict[str, Callable[..., LatentSampler]] = {
    "mixture_flow": lambda run, *sizes: MixtureFlow(*sizes),
    "mixture_flow, 128 Gaussians": lambda run, *sizes: MixtureFlow(*sizes, num_components=128),
    "mixture_flow, active dimensions": lambda run, *sizes: ActiveFlow(*sizes, active=_active(run)),
    "mixture_flow, standardised": lambda run, *sizes: StandardisedFlow(*sizes, **_moments(run)),
    "coupling_flow": lambda run, *sizes: CouplingFlow(*sizes),
    "coupling_flow, 16 layers": lambda run, *sizes: CouplingFlow(*sizes, num_layers=16),
    "coupling_flow, 4 layers": lambda run, *sizes: CouplingFlow(*sizes, num_layers=4),
    "autoregressive flow, 5 layers": lambda run, *sizes: AutoregressiveFlow(*sizes),
    "flow matching": lambda run, *sizes: PlainMatching(*sizes, **_moments(run)),
    "flow_matching": lambda run, *sizes: FlowMatching(*sizes),
    "mixture_density, 32": lambda run, *sizes: MixtureDensity(*sizes),
    "mixture_density, 128": lambda run, *sizes: MixtureDensity(*sizes, num_components=128),
}
