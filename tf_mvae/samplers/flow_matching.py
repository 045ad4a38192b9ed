"""A latent sampler that integrates a velocity field."""

from typing import Any

import keras
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.ops import random
from tf_mvae.posteriors import Context
from tf_mvae.samplers.clusters import Clusters
from tf_mvae.samplers.flow_posterior import FlowPosterior, with_flow
from tf_mvae.samplers.sampler import LatentSampler
from tf_mvae.samplers.velocity import VelocityNetwork, moved, moved_with_volume

__all__ = ["FlowMatching"]


class VelocityPosterior(FlowPosterior):
    """The density of `FlowMatching`; its features are those of S and whether S is empty."""

    __slots__ = ()

    is_guided = True

    def sample(
        self,
        num_samples: int | tf.Tensor,
        seed: tf.Tensor,
        temperature: float | tf.Tensor | None = None,
    ) -> tf.Tensor:
        """See `Posterior.sample`."""
        return self.guided_sample(num_samples, seed, temperature, 1.0)

    def guided_sample(
        self,
        num_samples: int | tf.Tensor,
        seed: tf.Tensor,
        temperature: float | tf.Tensor | None,
        guidance: float,
    ) -> tf.Tensor:
        """See `Posterior.guided_sample`."""
        noise = self.base_sample(num_samples, seed, temperature)
        return self.flow.guided(noise, self.features, guidance, random.fold_in(seed, 1))


@keras.saving.register_keras_serializable("tf_mvae")
class FlowMatching(LatentSampler):
    """Moves noise to latents along a velocity field, learned by flow matching.

        dz / dt = v(z, t, S),   z(0) ~ N(0, I),   z(1) ~ p(z | S)
        loss = E |v((1 - t) noise + t z, t, S) - (z - noise)|^2 / latent,   t = sigmoid(N(0, 1))

    (Lipman et al., *Flow matching for generative modeling*, ICLR 2023; the times are those of Esser
    et al., ICML 2024.) It is fitted without a density, and fits what a coupling flow does not:
    latents of several images, which no class divides into parts.

    With a guidance g other than 1, `generate` and `sample` follow

        v(z, t, nothing) + g (v(z, t, S) - v(z, t, nothing))

    (Ho and Salimans, *Classifier-free diffusion guidance*, 2022): samples that S is more typical
    of. Where nothing is given, each sample is guided to a cluster of latents instead, which is
    drawn as often as there are latents in it (Hu et al., *Self-guided diffusion models*, CVPR
    2023). With covariates, whose values may make some clusters rare, there is no guidance then.

    The density is that without guidance. It takes an integral with as many derivatives as the
    latent has dimensions, so that importance sampling does not use it unless asked, and it is as
    exact as `num_steps` steps of Heun's method: more make it more so.
    """

    has_fast_density = False

    def __init__(
        self,
        latent_dim: int,
        num_columns: int,
        units: int = 512,
        num_blocks: int = 4,
        num_steps: int = 8,
        num_clusters: int = 100,
        width: int = 256,
        guidance: float = 2,
        **kwargs,
    ):
        """Creates the network and all its weights.

        Args:
            latent_dim: Size of the latent.
            num_columns: The model's `num_columns`.
            units: Width of the velocity's hidden layers.
            num_blocks: The number of residual blocks, of two layers each.
            num_steps: Steps of the integration, of two evaluations each.
            num_clusters: The number of clusters.
            width: Size of the features of a subset.
            guidance: g; 1 is none.
            **kwargs: Keras' own arguments for a layer, and `num_covariates`.

        Raises:
            UserError: A size is below 1, or the guidance is negative.
        """
        super().__init__(latent_dim, num_columns, width, guidance=guidance, **kwargs)
        self.units = checks.positive_integer("units", units)
        self.num_blocks = checks.positive_integer("num_blocks", num_blocks)
        self.num_steps = checks.positive_integer("num_steps", num_steps)
        self.num_clusters = checks.positive_integer("num_clusters", num_clusters)
        self.clusters = Clusters(self.num_clusters, self.latent_dim, name="clusters")
        self.velocity = VelocityNetwork(
            self.latent_dim,
            self.width,
            self.units,
            self.num_blocks,
            labels=self.num_clusters + 1,  # the last one: no cluster
            name="velocity",
        )
        self._posterior = with_flow(VelocityPosterior, self)
        # Derivatives of eager operations take several times as long.
        self._integrate = tf.function(self._with_volume, autograph=False)
        self.built = True

    @classmethod
    def checked_guidance(cls, value: Any) -> float:
        """See `LatentSampler.checked_guidance`: a number of 0 or more."""
        return checks.non_negative("guidance", value)

    def of(self, context: Context) -> VelocityPosterior:
        """See `LatentSampler.of`."""
        empty = tf.cast(_is_empty(context), tf.float32)[:, tf.newaxis]
        parts = [self._features_of(context), self.features(_blank(context)), empty]
        zeros = tf.zeros_like(context.loc)
        return self._posterior(zeros, zeros, tf.concat(parts, axis=-1))

    def loss(self, context: Context, z: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """See `LatentSampler.loss`; half of the examples of an empty S have their cluster."""
        noise_seed, time_seed, label_seed = tf.unstack(random.split(seed, 3), num=3)
        noise = random.batch_normal(tf.shape(z), noise_seed)
        column = tf.stack([tf.shape(z)[0], 1])
        time = tf.sigmoid(random.batch_normal(column, time_seed))[:, 0]
        named = random.batch_uniform(column, label_seed)[:, 0] < 0.5
        named &= _is_empty(context)
        label = tf.where(named, self.clusters.of(z), self.num_clusters)
        point = noise + time[:, tf.newaxis] * (z - noise)
        found = self.velocity(point, time, self._features_of(context), label)
        return tf.reduce_mean(tf.square(found - (z - noise)), axis=-1)

    def observe(self, z: tf.Tensor, weight: tf.Tensor, first: tf.Tensor, seed: tf.Tensor) -> None:
        """See `LatentSampler.observe`: moves the clusters."""
        self.clusters.observe(z, weight, first, seed)

    def guided(
        self, noise: tf.Tensor, features: tf.Tensor, guidance: float, seed: tf.Tensor
    ) -> tf.Tensor:
        """Moves noise, `[sample, batch, latent]`, with a guidance; see the class."""
        own, blank, empty = tf.split(features, [self.width, self.width, 1], axis=-1)
        none = tf.fill(tf.shape(noise)[:-1], self.num_clusters)
        if guidance == 1:
            return moved(lambda z, t: self.velocity(z, t, own, none), noise, self.num_steps)
        label = none
        if not self.num_covariates:  # clusters are as frequent as in all examples
            drawn = self.clusters.draw(tf.shape(noise)[:-1], seed)
            label = tf.where(empty[:, 0] > 0, drawn, none)

        def velocity(z, t):
            unguided = self.velocity(z, t, blank, none)
            return unguided + guidance * (self.velocity(z, t, own, label) - unguided)

        return moved(velocity, noise, self.num_steps)

    def forward(self, noise: tf.Tensor, features: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Moves noise, `[..., batch, latent]`, without guidance; returns the log-volume, too."""
        return self._integrate(noise, features, back=False)

    def inverse(self, value: tf.Tensor, features: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Moves latents back to noise; returns the log-volume, too."""
        return self._integrate(value, features, back=True)

    def _features_of(self, context: Context) -> tf.Tensor:
        """Returns features of S; where it is empty, those of `_blank`, for every kind of q."""
        empty = _is_empty(context)[:, tf.newaxis]
        loc, log_variance = (
            tf.where(empty, 0.0, value) for value in (context.loc, context.log_variance)
        )
        return self.features(context._replace(loc=loc, log_variance=log_variance))

    def _with_volume(
        self, points: tf.Tensor, features: tf.Tensor, back: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        own = features[..., : self.width]
        none = tf.fill(tf.shape(points)[:-1], self.num_clusters)

        def velocity(z, t):
            return self.velocity(z, t, own, none)

        return moved_with_volume(velocity, points, self.num_steps, back)

    def get_config(self) -> dict[str, Any]:
        """See `LatentSampler.get_config`."""
        return {
            **super().get_config(),
            "units": self.units,
            "num_blocks": self.num_blocks,
            "num_steps": self.num_steps,
            "num_clusters": self.num_clusters,
        }


def _is_empty(context: Context) -> tf.Tensor:
    return tf.reduce_max(context.subset, axis=-1) == 0


def _blank(context: Context) -> Context:
    """Returns a context in which nothing is given but the covariates."""
    zeros = tf.zeros_like(context.loc)
    return context._replace(loc=zeros, log_variance=zeros, subset=tf.zeros_like(context.subset))
