"""Latents of a trained model: posteriors, samples, and samples that are resampled."""

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from tf_mvae.distributions.tfp import Distribution
from tf_mvae.inference.draws import LatentDraws
from tf_mvae.posteriors import Context

__all__ = ["LatentModel"]


class LatentModel(LatentDraws):
    """`q(z | S)`, a sampler's `p(z | S)` if there is one, and draws from them."""

    def posterior(
        self, x: Mapping[str, Any], mask: Mapping[str, Any] | None = None, training: bool = False
    ) -> Distribution:
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
        with self._drawn_layers(training):
            found = self._infer(x, mask, training) if training else self._inferred(x, mask)
        return found.distribution()

    def latent_distribution(
        self,
        given: Mapping[str, Any],
        mask: Mapping[str, Any] | None = None,
        latents: str | None = None,
    ) -> Distribution:
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
        guidance: float | None = 1,
    ) -> tf.Tensor:
        """Samples `p(z | given)`; see `generate` for the arguments.

        The samples have the density `latent_distribution` unless there is guidance: with
        `guidance=None` they are those that `generate` decodes.

        Returns:
            `[num_samples, batch, latent]`.
        """
        x, mask = self._unpacked(given, mask)
        return self._drawn(x, mask, num_samples, self._seed(seed), temperature, latents, guidance)

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
            candidates: K, the number of candidates.
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
        """Returns the context of a sampler for a batch, a `tf_mvae.posteriors.Context`.

        Args:
            given: Arrays by name, `[batch, *event_shape]`.
            mask: Masks by name, `[batch]`.
        """
        return self._eager_calls("context", self._context, *self._unpacked(given, mask))
