"""The base class of samplers of the latent."""

import abc
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.distributions.tfp import Distribution
from tf_mvae.inference import arguments
from tf_mvae.posteriors import Context, Posterior
from tf_mvae.samplers.features import ContextFeatures

__all__ = ["LatentSampler"]


class LatentSampler(keras.layers.Layer, abc.ABC):
    """A conditional density `p(z | S)`, S any subset of a model's modalities.

    A Keras layer, built in its constructor, that always computes in float32. `model.set_sampler`
    attaches it to a model, whose methods `generate`, `latent_samples` and `sample` then use it;
    `tf_mvae.samplers.fit` creates, fits and attaches one.

    Subclasses implement `of`, which returns `p(z | S)` as a `Posterior`.

    Example:

    ```python
    sampler = MixtureFlow(model.latent_dim, model.num_columns)
    context = model.context({"label": [7]})
    z = sampler.sample(16, context, seed=0)           # [16, 1, latent]
    sampler.log_prob(z, context)                      # [16, 1], in nats
    sampler.distribution(context)                     # a TFP distribution
    ```

    Attributes:
        latent_dim: Size of the latent.
        num_columns: Number of modalities; each member of a group counts.
        width: Size of the features of a context.
        num_covariates: Size of the encoded covariates.
        guidance: How strongly `generate` and `sample` favour what is given, which changes no
            density; 1 is not at all. Here it is the number of candidates for each latent if classes
            are given; see `GenerativeModel.generate`.
        has_fast_density: Whether `log_prob` is as fast as a draw. A slow one is no proposal of
            importance sampling by default, and the fit does not report a `kl`.
    """

    has_fast_density: ClassVar[bool] = True

    def __init__(
        self,
        latent_dim: int,
        num_columns: int,
        width: int = 256,
        num_covariates: int = 0,
        guidance: float = 2,
        **kwargs,
    ):
        """Creates the layer that reads contexts.

        Args:
            latent_dim: Size of the latent.
            num_columns: The model's `num_columns`.
            width: Size of the features that a context becomes.
            num_covariates: The model's `num_covariates`.
            guidance: See the class; 1 is none.
            **kwargs: Keras' own arguments for a layer.

        Raises:
            UserError: A size is below 1.
        """
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.latent_dim = checks.positive_integer("latent_dim", latent_dim)
        self.num_columns = checks.positive_integer("num_columns", num_columns)
        self.width = checks.positive_integer("width", width)
        self.num_covariates = checks.non_negative_integer("num_covariates", num_covariates)
        self.guidance = self.checked_guidance(guidance)
        self.features = ContextFeatures(
            self.latent_dim, self.num_columns, self.width, self.num_covariates
        )

    @classmethod
    def checked_guidance(cls, value: Any) -> float:
        """Returns a guidance: here a number of candidates, 1 or more.

        Raises:
            UserError: It is none.
        """
        return arguments.guidance(value)

    @abc.abstractmethod
    def of(self, context: Context) -> Posterior:
        """Returns `p(z | S)` of each example, `[batch]`.

        Args:
            context: The examples' subsets; see `tf_mvae.posteriors.Context`.
        """

    def call(self, context: Context, z: tf.Tensor) -> tf.Tensor:
        """Returns `log p(z | S)`, `[sample, batch]`; see `log_prob`."""
        return self.of(context).log_prob(z)

    def loss(self, context: Context, z: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Returns what the fit minimises, `[batch]`; here `-log p(z | S)`, in nats.

        Args:
            context: The examples' subsets.
            z: A latent of each example, `[batch, latent]`.
            seed: Two integers, for losses that are random.
        """
        del seed
        return -self.log_prob(z[tf.newaxis], context)[0]

    def observe(self, z: tf.Tensor, weight: tf.Tensor, first: tf.Tensor, seed: tf.Tensor) -> None:
        """Sees the latents of a step of the fit; here it does nothing.

        Args:
            z: `[batch, latent]`.
            weight: The examples' weights, `[batch]`.
            first: Whether the step is the first of a fit.
            seed: Two integers.
        """

    def sample(
        self,
        num_samples: int | tf.Tensor,
        context: Context,
        seed: int | Sequence[int] | tf.Tensor = 0,
        temperature: float | tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Draws from `p(z | S)`, `[num_samples, batch, latent]`.

        Args:
            num_samples: Samples for each example.
            context: The examples' subsets.
            seed: A number, or two; the same one gives the same samples.
            temperature: Factor on the standard deviation of the Gaussian noise that is
                transformed; 1 if omitted.
        """
        return self.of(context).sample(num_samples, arguments.seed_pair(seed), temperature)

    def log_prob(self, z: tf.Tensor, context: Context) -> tf.Tensor:
        """Returns `log p(z | S)` in nats, `[sample, batch]`.

        Args:
            z: `[sample, batch, latent]`.
            context: The examples' subsets.
        """
        return self.of(context).log_prob(tf.convert_to_tensor(z, tf.float32))

    def distribution(self, context: Context) -> Distribution:
        """Returns `p(z | S)` as a TFP distribution, batch `[batch]`, events `[latent]`."""
        return self.of(context).distribution()

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor arguments of this sampler."""
        config = super().get_config()
        config.pop("trainable")  # the model's `set_sampler` and the trainer say that
        return {
            **config,
            **({"num_covariates": self.num_covariates} if self.num_covariates else {}),
            "latent_dim": self.latent_dim,
            "num_columns": self.num_columns,
            "width": self.width,
            "guidance": self.guidance,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "LatentSampler":
        """Makes a sampler of `get_config`; of one without guidance, which is older, as it was."""
        return cls(**{"guidance": 1, **config})

    def _build_on_zeros(self) -> None:
        """Makes all weights."""
        blank = tf.zeros([1, self.latent_dim])
        experts = tf.zeros([1, self.num_columns, self.latent_dim])
        nothing = tf.zeros([1, self.num_columns])
        covariates = tf.zeros([1, self.num_covariates]) if self.num_covariates else None
        context = Context(blank, blank, experts, experts, nothing, covariates)
        self.of(context).log_prob(blank[tf.newaxis])
        self.built = True
