"""Latents of a trained model: posteriors, samples, and samples that are resampled."""

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from tf_mvae.batch import present_mask, unpack
from tf_mvae.covariate import as_numbers
from tf_mvae.errors import UserError
from tf_mvae.models import arguments
from tf_mvae.models.networks import NetworkModel
from tf_mvae.ops import random
from tf_mvae.posteriors import Context, DiagonalGaussian, Encoded, Posterior, subset_context

__all__ = ["LATENTS", "LatentModel", "chosen_latents"]

LATENTS = ("sampler", "posterior")


class LatentModel(NetworkModel):
    """`q(z | S)`, a sampler's `p(z | S)` if there is one, and draws from them."""

    def posterior(
        self, x: Mapping[str, Any], mask: Mapping[str, Any] | None = None, training: bool = False
    ) -> tfp.distributions.Distribution:
        """Returns `q(z | what is present in x)`.

        Args:
            x: Arrays by name, `[batch, *event_shape]`; any modalities may be omitted.
            mask: Masks by name, `[batch]`; 0 where an example does not have the modality.
            training: Whether layers such as dropout act as in training.

        Returns:
            A TFP distribution with batch `[batch]` and events `[latent]`: a
            `tfd.MultivariateNormalDiag`, or for mixtures a `tfd.MixtureSameFamily`. An example
            that has nothing gets the prior.

        Raises:
            UserError: A key, shape, type, mask or value does not fit.
        """
        x, mask = self._unpacked(x, mask)
        found = self._infer(x, mask, training) if training else self._inferred(x, mask)
        return found.distribution()

    def latent_distribution(
        self,
        given: Mapping[str, Any],
        mask: Mapping[str, Any] | None = None,
        latents: str | None = None,
    ) -> tfp.distributions.Distribution:
        """Returns what `latent_samples` draws from: the sampler's `p(z | S)`, or `q(z | S)`.

        Args:
            given: Arrays by name, `[batch, *event_shape]`.
            mask: Masks by name, `[batch]`.
            latents: See `generate`.

        Returns:
            A TFP distribution with batch `[batch]` and events `[latent]`.
        """
        x, mask = self._unpacked(given, mask)
        return self._latents_given(x, mask, latents).distribution()

    def latent_samples(
        self,
        given: Mapping[str, Any],
        num_samples: int | tf.Tensor = 1,
        mask: Mapping[str, Any] | None = None,
        seed: int | Sequence[int] | tf.Tensor | None = None,
        temperature: float | tf.Tensor = 1.0,
        latents: str | None = None,
    ) -> tf.Tensor:
        """Samples `p(z | given)`; see `generate` for the arguments.

        Returns:
            `[num_samples, batch, latent]`.
        """
        x, mask = self._unpacked(given, mask)
        return self._drawn(x, mask, num_samples, self._seed(seed), temperature, latents)

    def resampled_latents(
        self,
        given: Mapping[str, Any],
        num_samples: int | tf.Tensor = 1,
        candidates: int | tf.Tensor = 100,
        mask: Mapping[str, Any] | None = None,
        seed: int | Sequence[int] | tf.Tensor | None = None,
        latents: str | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Samples the model's own `p(z | S)` by sampling importance resampling.

        Candidates `z_k`, from the sampler or from q, are drawn again with probabilities
        proportional to

            w_k = p(z_k) prod_{i in S} p(x_i | z_k) / proposal(z_k)

        (Rubin, 1988). The more candidates, the closer to the exact posterior. All candidates of
        a batch are decoded together.

        Args:
            given: Arrays by name, `[batch, *event_shape]`.
            num_samples: Samples of z for each example, drawn with replacement.
            candidates: K, how many there are to choose from.
            mask: Masks by name, `[batch]`.
            seed: A number (or two).
            latents: Which proposal; see `generate`.

        Returns:
            `[num_samples, batch, latent]`, and the effective sample size of the candidates,
            `(sum w)^2 / sum w^2`, `[batch]`.

        Raises:
            UserError: A key, shape, type, mask, value or argument does not fit.
        """
        x, mask = self._unpacked(given, mask)
        return self._resampled(x, mask, num_samples, candidates, self._seed(seed), latents)

    def context(self, given: Mapping[str, Any], mask: Mapping[str, Any] | None = None) -> Context:
        """Returns what a sampler is given for a batch: `tf_mvae.posteriors.Context`.

        Args:
            given: Arrays by name, `[batch, *event_shape]`.
            mask: Masks by name, `[batch]`.
        """
        return self._eager_calls("context", self._context, *self._unpacked(given, mask))

    def _unpacked(
        self, x: Mapping[str, Any], mask: Mapping[str, Any] | None
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        return unpack({"x": x, "mask": mask or {}}, self.batch_inputs, partial=True)

    def _context(self, x: Mapping[str, tf.Tensor], mask: Mapping[str, tf.Tensor]) -> Context:
        present = present_mask(mask, self.modalities)
        covariates = as_numbers(self.covariates, x)
        return subset_context(self.posterior_kind, self._encoded(x, mask), present, covariates)

    def _blank_context(self, given: Mapping[str, tf.Tensor] | None = None) -> Context:
        """Returns the context of one example that has nothing but covariates, `[1, *shape]`."""
        zeros = tf.zeros([1, self.num_columns, self.latent_dim])
        nothing = tf.zeros([1, self.num_columns])
        encoded = Encoded(DiagonalGaussian(zeros, zeros))
        covariates = as_numbers(self.covariates, given or {})
        return subset_context(self.posterior_kind, encoded, nothing, covariates)

    def _inferred(self, x: Mapping[str, tf.Tensor], mask: Mapping[str, tf.Tensor]) -> Posterior:
        return self._eager_calls("infer", self._infer, x, mask)

    def _uses_sampler(self, latents: str | None) -> bool:
        """Whether latents are drawn from the sampler.

        Raises:
            UserError: There is no such way, or no sampler.
        """
        if latents not in (None, *LATENTS):
            raise UserError(f"latents must be one of {LATENTS}, or None; it is {latents!r}")
        if latents == "sampler" and self.sampler is None:
            raise UserError(
                f"{self.name} has no sampler; fit one with tf_mvae.samplers.fit, or leave latents "
                "out"
            )
        return self.sampler is not None and latents != "posterior"

    def _conditional(
        self, x: Mapping[str, tf.Tensor], mask: Mapping[str, tf.Tensor], latents: str | None = None
    ) -> Posterior:
        """Returns what latents are drawn from, `[batch]`."""
        if self._uses_sampler(latents):
            return self.sampler.of(self._context(x, mask))
        return self._infer(x, mask)

    def _latents_given(
        self, x: Mapping[str, tf.Tensor], mask: Mapping[str, tf.Tensor], latents: str | None
    ) -> Posterior:
        if self._uses_sampler(latents):
            return self._eager_calls("conditional", self._conditional, x, mask)
        return self._inferred(x, mask)

    def _drawn(
        self,
        x: Mapping[str, tf.Tensor],
        mask: Mapping[str, tf.Tensor],
        num_samples: int | tf.Tensor,
        seed: tf.Tensor,
        temperature: float | tf.Tensor,
        latents: str | None = None,
    ) -> tf.Tensor:
        """Returns samples of `p(z | S)`, `[num_samples, batch, latent]`."""
        number, scale = arguments.sample_count(num_samples), arguments.temperature(temperature)
        posterior = self._latents_given(x, mask, latents)
        make = type(posterior)

        def draw(*inputs):
            *parts, number, seed, scale = inputs
            z = make(*parts).sample(number, seed, scale)
            return tf.ensure_shape(z, [None, None, self.latent_dim])

        return self._eager_calls(("draw", make), draw, *posterior, number, seed, scale)

    def _drawn_from_nothing(
        self,
        num_samples: int | tf.Tensor,
        seed: tf.Tensor,
        temperature: float | tf.Tensor,
        latents: str | None = None,
        through: Sequence[str] | None = None,
        given: Mapping[str, tf.Tensor] | None = None,
    ) -> tf.Tensor:
        """Returns samples of `p(z | {})`, the prior without a sampler, `[num_samples, latent]`."""
        number, scale = arguments.sample_count(num_samples), arguments.temperature(temperature)
        by_sampler = self._uses_sampler(latents)
        if through is not None and not by_sampler:
            raise UserError("through says what a sampler draws first; without one leave it out")
        first = self._drawn_first(through) if by_sampler else ()

        def draw(number, seed, scale, given):
            if by_sampler:
                context = self._blank_context(given)
                z = self.sampler.of(context).sample(number, seed, scale)[:, 0]
            else:
                noise = random.stateless_normal(tf.stack([number, self.latent_dim]), seed)
                z = scale * noise
            z = tf.ensure_shape(z, [None, self.latent_dim])
            return self._redrawn(z, first, seed, scale, given) if first else z

        name, given = ("draw_prior", by_sampler, first), dict(given or {})
        return self._eager_calls(name, draw, number, seed, scale, given, free_axes=0)

    def _drawn_first(self, through: Sequence[str] | None) -> tuple[str, ...]:
        """Returns the modalities that unconditional samples are drawn through; see `sample`."""
        if through is None:
            if len(self.targets) == 1:  # its class says all that there is
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
    ) -> tf.Tensor:
        """Returns `z' ~ p(z | x_names)`, `x_names ~ p(x | z)`, for z of `[batch, latent]`.

        It is a step of Gibbs sampling, which leaves the joint distribution of latent and data
        as it is. The covariates of one example, `[1, *shape]`, are given throughout.
        """
        value_seed, latent_seed = tf.unstack(random.split(random.fold_in(seed, 1), 2), num=2)
        x = self._drawn_values(z, names, value_seed, given)
        x |= {name: tf.repeat(value, tf.shape(z)[0], axis=0) for name, value in given.items()}
        x, mask = self._unpacked(x, None)
        found = self.sampler.of(self._context(x, mask)).sample(1, latent_seed, scale)[0]
        return tf.ensure_shape(found, [None, self.latent_dim])

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
        candidates = arguments.sample_count(candidates)

        def resample(x, mask, number, candidates, seed):
            proposal_seed, choice_seed = tf.unstack(random.split(seed, 2), num=2)
            proposal = self._conditional(x, mask, latents)
            z, log_weight = proposal.sample_and_log_ratio(candidates, proposal_seed)
            z = tf.ensure_shape(z, [None, None, self.latent_dim])
            log_weight += self._log_likelihood_given(x, mask, z)
            weight = tf.nn.softmax(log_weight, axis=0)  # [candidate, batch]
            uniform = random.stateless_uniform(tf.stack([number, tf.shape(weight)[1]]), choice_seed)
            return chosen_latents(z, weight, uniform), 1 / tf.reduce_sum(weight**2, axis=0)

        name = ("resample", self._uses_sampler(latents))
        return self._eager_calls(name, resample, x, mask, number, candidates, seed)

    def _log_likelihood_given(
        self, x: Mapping[str, tf.Tensor], mask: Mapping[str, tf.Tensor], z: tf.Tensor
    ) -> tf.Tensor:
        """Returns `sum_i log p(x_i | z)` of what each example has, `[sample, batch]`."""
        prepared = self._prepared(x, mask)
        total = tf.zeros(tf.shape(z)[:-1])
        for modality in self.targets:
            name = modality.name
            if name in x:
                parameters = self.likelihood_parameters(z, [name], prepared)[name]
                total += modality.log_prob(parameters, prepared[name], mask[name])
        return total


def chosen_latents(z: tf.Tensor, weight: tf.Tensor, points: tf.Tensor) -> tf.Tensor:
    """Returns the latents at points of the distribution function of their weights.

    Args:
        z: Candidates, `[candidate, batch, latent]`.
        weight: Their probabilities, `[candidate, batch]`.
        points: Numbers in [0, 1), `[sample, batch]`.

    Returns:
        `[sample, batch, latent]`.
    """
    below = tf.transpose(tf.cumsum(weight, axis=0))
    index = tf.searchsorted(below, tf.transpose(points), side="right")
    index = tf.minimum(index, tf.shape(weight)[0] - 1)  # sums of weights are rounded
    chosen = tf.gather(tf.transpose(z, [1, 0, 2]), index, batch_dims=1)
    return tf.transpose(chosen, [1, 0, 2])
