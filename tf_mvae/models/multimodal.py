"""A joint model of modalities: a posterior kind and an objective."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mvae.distributions.tfp import Distribution
from tf_mvae.errors import UserError
from tf_mvae.modality import Modality
from tf_mvae.models.base import BaseVAE
from tf_mvae.objectives import Objective, SubsetElbos
from tf_mvae.posteriors import DiagonalGaussian, PosteriorKind, Product

__all__ = ["MultimodalVAE"]


@keras.saving.register_keras_serializable("tf_mvae")
class MultimodalVAE(BaseVAE):
    """A joint distribution `p(z) prod_i p(x_i | z)` with a posterior `q(z | S)` of any subset.

    A model is modalities, a posterior kind (`tf_mvae.posteriors`: how a subset becomes
    `q(z | S)`) and an objective (`tf_mvae.objectives`: what is summed into the loss). The
    presets `MVAE`, `JMVAE`, `MoPoE` and so on are such triples.

    Example:

    ```python
    model = MultimodalVAE(
        [
            Modality("image", likelihoods.Bernoulli([28, 28, 1])),
            Modality("label", likelihoods.Categorical(10)),
        ],
        latent_dim=64,
        posterior_kind=posteriors.Product(),
        objective=objectives.SubsetElbos(alignment_weight=0.5),
    )
    ```
    """

    def __init__(
        self,
        modalities: Sequence[Modality],
        latent_dim: int = 64,
        posterior_kind: PosteriorKind | None = None,
        objective: Objective | None = None,
        **kwargs,
    ):
        """Creates the model and all its weights.

        Args:
            modalities: What an example may consist of; their names differ.
            latent_dim: Size of the latent.
            posterior_kind: How experts become `q(z | S)`; default: the product of experts.
            objective: What is maximised; default: `SubsetElbos`.
            **kwargs: Those of `BaseVAE`: `latent`, `kl_weight`, `free_bits`, `num_samples`,
                `seed`, `name`.

        Raises:
            ValueError: An argument is out of its range, or the modalities do not fit.
        """
        posterior_kind = Product() if posterior_kind is None else posterior_kind
        objective = SubsetElbos() if objective is None else objective
        parts = {"posterior_kind": (posterior_kind, PosteriorKind, "posteriors.Product()"),
                 "objective": (objective, Objective, "objectives.SubsetElbos()")}  # fmt: skip
        for name, (part, kind, example) in parts.items():
            if not isinstance(part, kind):
                raise UserError(f"{name} must be one such as tf_mvae.{example}; it is {part!r}")
        super().__init__(modalities, latent_dim, posterior_kind, objective, **kwargs)

    def experts(
        self, x: Mapping[str, Any], mask: Mapping[str, Any] | None = None, training: bool = False
    ) -> dict[str, Distribution]:
        """Returns each given modality's own expert `q~(z | x_i)`.

        For a product with a prior expert it is without the prior; for the other kinds of
        posterior (`tf_mvae.posteriors`) it is the posterior `q(z | x_i)`.

        Args:
            x: Arrays by name, `[batch, *event_shape]`.
            mask: Masks by name, `[batch]`.
            training: Whether layers such as dropout act as in training.
        """
        x, mask = self._unpacked(x, mask)
        if training:
            with self._drawn_layers(training):
                encoded = self._encode_each(x, mask, training)
        else:
            encoded = self._eager_calls("experts", self._encode_each, x, mask)
        own = self.posterior_kind.own_posterior
        return {n: own(DiagonalGaussian(*e)).distribution() for n, e in encoded.items()}

    def sample(
        self,
        num_samples: int | tf.Tensor,
        seed: int | Sequence[int] | tf.Tensor | None = None,
        temperature: float | tf.Tensor = 1.0,
        return_samples: bool = False,
        latents: str | None = None,
        through: Sequence[str] | None = None,
        covariates: Mapping[str, Any] | None = None,
        guidance: float | None = None,
    ) -> dict[str, tf.Tensor]:
        """Generates every modality from nothing.

        z is drawn from the prior, or, if the model has a sampler, classes first:

            z_0 ~ p(z | {}),   x_C ~ p(x_C | z_0),   z ~ p(z | x_C)

        with C the modalities that are one class each. Of a sampler that fits, z has the
        distribution of z_0 (a step of Gibbs sampling); of any, it is a better one, since what
        lies between two classes becomes one of them. A model with covariates needs those of one
        example, given in each of these; `generate(given=covariates)` takes several.

        Args:
            num_samples: See `generate`, as for what is not here.
            seed: A number (or two).
            temperature: Factor on the standard deviation.
            return_samples: Whether the likelihoods are sampled.
            latents: `'posterior'` draws z from the prior though the model has a sampler.
            through: C, by names; `()` is none. For models with a sampler.
            covariates: By name, of one example, `[1, *shape]`.
            guidance: Candidates for each z, given the classes; see `generate`. A `FlowMatching`
                takes any number of 0 or more, and is guided to clusters of latents.

        Returns:
            Tensors by name, `[num_samples, *event_shape]`.

        Raises:
            UserError: An argument does not fit, or a covariate is not given, or given of several
                examples.
        """
        given = self._covariates_of_one(covariates)
        seeds = self._two_seeds(seed)
        how = (temperature, latents, through, given, guidance)
        z = self._drawn_from_nothing(num_samples, seeds[0], *how)
        return self._decoded(z, seeds[1] if return_samples else None, None, given)

    def _covariates_of_one(self, covariates: Mapping[str, Any] | None) -> dict[str, tf.Tensor]:
        """Returns the covariates of one example, `[1, *shape]` by name."""
        names = [covariate.name for covariate in self.covariates]
        given = dict(covariates or {})
        for name in sorted({*given} ^ {*names}):
            what = "has no covariate" if name in given else "needs the covariate"
            raise UserError(
                f"{self.name} {what} {name!r}: give sample(covariates={{name: [value]}}) for "
                f"{names or 'none'}"
            )
        if not names:
            return {}
        x, _ = self._unpacked(given, None)
        if next(iter(x.values())).shape[0] not in (1, None):
            raise UserError(
                "sample takes covariates of one example, [1, ...] each; generate(given=covariates) "
                "takes several"
            )
        return {name: x[name] for name in names}

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor arguments of this model."""
        config = super().get_config()
        taken = inspect.signature(type(self).__init__).parameters
        if {"posterior_kind", "objective"} <= set(taken):  # a preset has others for these
            serialize = keras.saving.serialize_keras_object
            config["posterior_kind"] = serialize(self.posterior_kind)
            config["objective"] = serialize(self.objective)
            if self.latent.private:
                config["latent"] = serialize(self.latent)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "MultimodalVAE":
        """Creates a model from the result of `get_config`."""
        make = keras.saving.deserialize_keras_object
        parts: dict[str, Any] = {
            name: make(config[name], custom_objects=custom_objects)
            for name in ("posterior_kind", "objective", "latent")
            if name in config
        }
        return super().from_config({**config, **parts}, custom_objects)
