"""Draws of latents: from `q(z | S)`, from a sampler, guided by classes, and resampled."""

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from tf_mvae import checks
from tf_mvae.batch import present_mask, unpack
from tf_mvae.covariate import as_numbers
from tf_mvae.errors import UserError
from tf_mvae.inference import arguments
from tf_mvae.inference.candidates import chosen_latents, guided_latents
from tf_mvae.inference.networks import NetworkModel
from tf_mvae.names import LATENTS
from tf_mvae.ops import random
from tf_mvae.posteriors import (
    Context,
    DiagonalGaussian,
    Encoded,
    Posterior,
    refined,
    subset_context,
)

__all__ = ["LatentDraws"]


class LatentDraws(NetworkModel):
    """How a model draws latents, behind the methods of `LatentModel`."""

    def _unpacked(
        self, x: Mapping[str, Any], mask: Mapping[str, Any] | None
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        if not isinstance(x, Mapping):
            raise UserError(f"data are given as {{name: array}}; these are a {type(x).__name__}")
        return unpack({"x": x, "mask": mask or {}}, self.batch_inputs, partial=True)

    def _context(self, x: Mapping[str, tf.Tensor], mask: Mapping[str, tf.Tensor]) -> Context:
        present = present_mask(mask, self.modalities)
        covariates = as_numbers(self.covariates, x)
        return subset_context(self.posterior_kind, self._encoded(x, mask), present, covariates)

    def _blank_context(self, given: Mapping[str, tf.Tensor] | None = None) -> Context:
        """Returns the context of one example with only covariates, `[1, *shape]`."""
        zeros = tf.zeros([1, self.num_columns, self.latent_dim])
        nothing = tf.zeros([1, self.num_columns])
        encoded = Encoded(DiagonalGaussian(zeros, zeros))
        covariates = as_numbers(self.covariates, given or {})
        return subset_context(self.posterior_kind, encoded, nothing, covariates)

    def _inferred(self, x: Mapping[str, tf.Tensor], mask: Mapping[str, tf.Tensor]) -> Posterior:
        return self._eager_calls("infer", self._infer, x, mask)

    @property
    def _usual_latents(self) -> str:
        """How latents are drawn without `default_latents`, which a saved model does not keep."""
        return self.posterior_kind.default_latents if self.sampler is None else "sampler"

    def _latents_way(self, latents: str | None) -> str:
        """Returns how latents are drawn, one of `LATENTS`.

        Raises:
            UserError: There is no such way, or no sampler.
        """
        way = latents or self.default_latents or self._usual_latents
        checks.one_of("latents", way, LATENTS)
        if way == "sampler" and self.sampler is None:
            raise UserError(
                f"{self.name} has no sampler; fit one with tf_mvae.samplers.fit, or leave latents "
                "out"
            )
        return way

    def _conditional(
        self, x: Mapping[str, tf.Tensor], mask: Mapping[str, tf.Tensor], latents: str | None = None
    ) -> Posterior:
        """Returns the distribution that latents are sampled from, `[batch]`."""
        way = self._latents_way(latents)
        if way == "sampler":
            return self.sampler.of(self._context(x, mask))
        if way == "product":
            present = present_mask(mask, self.modalities)
            return self.posterior_kind.product(self._encoded(x, mask), present)
        posterior = self._infer(x, mask)
        if way == "posterior":
            return posterior
        return refined(posterior, lambda z: self._log_likelihood_given(x, mask, z))

    def _latents_given(
        self, x: Mapping[str, tf.Tensor], mask: Mapping[str, tf.Tensor], latents: str | None
    ) -> Posterior:
        way = self._latents_way(latents)
        if way == "posterior":
            return self._inferred(x, mask)

        def conditional(x, mask):
            return self._conditional(x, mask, way)

        return self._eager_calls(("conditional", way), conditional, x, mask)

    def _drawn(
        self,
        x: Mapping[str, tf.Tensor],
        mask: Mapping[str, tf.Tensor],
        num_samples: int | tf.Tensor,
        seed: tf.Tensor,
        temperature: float | tf.Tensor,
        latents: str | None = None,
        guidance: float | None = None,
    ) -> tf.Tensor:
        """Returns samples of `p(z | S)`, `[num_samples, batch, latent]`."""
        number, scale = arguments.sample_count(num_samples), arguments.temperature(temperature)
        guidance = self._guidance(guidance, latents)
        posterior = self._latents_given(x, mask, latents)
        make = type(posterior)
        if not make.is_guided and not self._classes_in(x):
            guidance = 1
        if make.is_guided or guidance == 1:
            x, mask = {}, {}  # the draw reads no data then

        def draw(x, mask, *inputs):
            *parts, number, seed, scale = inputs
            return self._guided(make(*parts), x, mask, number, seed, scale, guidance)

        name = ("draw", make, guidance)
        return self._eager_calls(name, draw, x, mask, *posterior, number, seed, scale)  # type: ignore[misc]

    def _guidance(self, guidance: float | None, latents: str | None = None) -> float:
        """Returns the guidance of draws: by default the sampler's, or 1 without one."""
        by_sampler = self._latents_way(latents) == "sampler"
        if guidance is not None:
            check = self.sampler.checked_guidance if by_sampler else arguments.guidance
            return check(guidance)
        return self.sampler.guidance if by_sampler else 1

    def _classes_in(self, x: Mapping[str, Any]) -> list[str]:
        """Returns the modalities in x that are one class each."""
        return [m.name for m in self.targets if m.name in x and m.likelihood.is_categorical]

    def _guided(
        self,
        posterior: Posterior,
        x: Mapping[str, tf.Tensor],
        mask: Mapping[str, tf.Tensor],
        number: int | tf.Tensor,
        seed: tf.Tensor,
        scale: float | tf.Tensor,
        guidance: float,
    ) -> tf.Tensor:
        """Returns `[number, batch, latent]`, guided by what is given; see `generate`."""
        if posterior.is_guided:
            return posterior.guided_sample(number, seed, scale, guidance)
        classes = self._classes_in(x)

        def log_weight(z: tf.Tensor) -> tf.Tensor:
            return self._log_likelihood_given(x, mask, z, classes)

        count = int(guidance) if classes else 1
        z = guided_latents(posterior, number, seed, scale, count, log_weight)
        return tf.ensure_shape(z, [None, None, self.latent_dim])

    def _drawn_from_nothing(
        self,
        num_samples: int | tf.Tensor,
        seed: tf.Tensor,
        temperature: float | tf.Tensor,
        latents: str | None = None,
        through: Sequence[str] | None = None,
        given: Mapping[str, tf.Tensor] | None = None,
        guidance: float | None = None,
    ) -> tf.Tensor:
        """Returns samples of `p(z | {})`, the prior without a sampler, `[num_samples, latent]`."""
        number, scale = arguments.sample_count(num_samples), arguments.temperature(temperature)
        by_sampler = self._latents_way(latents) == "sampler"
        if through is not None and not by_sampler:
            raise UserError("through says what a sampler draws first; without one leave it out")
        first = self._drawn_first(through) if by_sampler else ()
        guidance = self._guidance(guidance, latents)

        def draw(number, seed, scale, given):
            if by_sampler:
                posterior = self.sampler.of(self._blank_context(given))
                z = self._guided(posterior, {}, {}, number, seed, scale, guidance)[:, 0]
            else:
                noise = random.stateless_normal(tf.stack([number, self.latent_dim]), seed)
                z = scale * noise
            z = tf.ensure_shape(z, [None, self.latent_dim])
            return self._redrawn(z, first, seed, scale, given, guidance) if first else z

        name, given = ("draw_prior", by_sampler, first, guidance), dict(given or {})
        return self._eager_calls(name, draw, number, seed, scale, given, free_axes=0)

    def _drawn_first(self, through: Sequence[str] | None) -> tuple[str, ...]:
        """Returns the modalities that unconditional samples are drawn through; see `sample`."""
        if through is None:
            if len(self.targets) == 1:  # there is no other modality to generate given its class
                return ()
            return tuple(m.name for m in self.targets if m.likelihood.is_categorical)
        self._check_names(through)
        return tuple(through)

    def _redrawn(
        self,
        z: tf.Tensor,
        names: tuple[str, ...],
        seed: tf.Tensor,
        scale: float | tf.Tensor,
        given: Mapping[str, tf.Tensor],
        guidance: float,
    ) -> tf.Tensor:
        """Returns `z' ~ p(z | x_names)`, `x_names ~ p(x | z)`, for z of `[batch, latent]`.

        It is a step of Gibbs sampling, which leaves the joint distribution of latent and data
        as it is. The covariates of one example, `[1, *shape]`, are given throughout.
        """
        value_seed, latent_seed = tf.unstack(random.split(random.fold_in(seed, 1), 2), num=2)
        x = self._drawn_values(z, names, value_seed, given)
        x |= {name: tf.repeat(value, tf.shape(z)[0], axis=0) for name, value in given.items()}
        x, mask = self._unpacked(x, None)
        posterior = self.sampler.of(self._context(x, mask))
        return self._guided(posterior, x, mask, 1, latent_seed, scale, guidance)[0]

    def _drawn_values(
        self,
        z: tf.Tensor,
        names: Sequence[str],
        seed: tf.Tensor,
        given: Mapping[str, tf.Tensor],
    ) -> dict[str, tf.Tensor]:
        """Returns `x ~ p(x | z)` of the modalities that are named, for z of `[batch, latent]`."""
        parameters = self.likelihood_parameters(z, names, given)
        seeds = tf.unstack(random.split(seed, len(names)), num=len(names))
        likelihoods = {m.name: m.likelihood for m in self.targets}
        return {
            name: likelihoods[name].distribution(parameters[name]).sample(seed=own)
            for name, own in zip(names, seeds, strict=True)
        }

    def _resampled(
        self,
        x: Mapping[str, tf.Tensor],
        mask: Mapping[str, tf.Tensor],
        num_samples: int | tf.Tensor,
        candidates: int | tf.Tensor,
        seed: tf.Tensor,
        latents: str | None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See `resampled_latents`."""
        number = arguments.sample_count(num_samples)
        candidates = arguments.sample_count(candidates, "resample (candidates)")

        def resample(x, mask, number, candidates, seed):
            proposal_seed, choice_seed = tf.unstack(random.split(seed, 2), num=2)
            z, weight = self._weighed(x, mask, candidates, proposal_seed, latents)
            uniform = random.stateless_uniform(tf.stack([number, tf.shape(weight)[1]]), choice_seed)
            return chosen_latents(z, weight, uniform), 1 / tf.reduce_sum(weight**2, axis=0)

        name = ("resample", self._latents_way(latents))
        return self._eager_calls(name, resample, x, mask, number, candidates, seed)

    def _weighed(
        self,
        x: Mapping[str, tf.Tensor],
        mask: Mapping[str, tf.Tensor],
        number: int | tf.Tensor,
        seed: tf.Tensor,
        latents: str | None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns samples of z and their importance weights, which sum to 1 for each example.

            w(z) ~ p(x | z) p(z) / q(z),   z ~ q

        Both are `[sample, batch, ...]`; q is what `latents` names.
        """
        z, log_weight = self._conditional(x, mask, latents).sample_and_log_ratio(number, seed)
        z = tf.ensure_shape(z, [None, None, self.latent_dim])
        return z, tf.nn.softmax(log_weight + self._log_likelihood_given(x, mask, z), axis=0)

    def _log_likelihood_given(
        self,
        x: Mapping[str, tf.Tensor],
        mask: Mapping[str, tf.Tensor],
        z: tf.Tensor,
        names: Sequence[str] | None = None,
    ) -> tf.Tensor:
        """Returns `sum_i log p(x_i | z)` over observed modalities, `[sample, batch]`.

        With `names` only these modalities count.
        """
        prepared = self._prepared(x, mask)
        total = tf.zeros(tf.shape(z)[:-1])
        for modality in self.targets:
            name = modality.name
            if name in x and (names is None or name in names):
                parameters = self.likelihood_parameters(z, [name], prepared)[name]
                total += modality.log_prob(parameters, prepared[name], mask[name])
        return total
