"""Sums of a model's importance weights, computed chunk by chunk by compiled functions."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tf_mvae.evaluation.estimates import Estimate
from tf_mvae.evaluation.questions import masks_of
from tf_mvae.evaluation.statistics import jackknife_error
from tf_mvae.modality import Modality
from tf_mvae.models import BaseVAE
from tf_mvae.ops.importance import LogWeightSums, chunk_seed, chunk_sizes, stream_chunks
from tf_mvae.ops.importance_ratio import RatioSums
from tf_mvae.posteriors import Posterior, draw_from_each, draw_proposals
from tf_mvae.samplers import LatentSampler

__all__ = ["ImportanceStreams"]

_BLOCKS = 100  # blocks of samples in the jackknife

Arrays = Mapping[str, tf.Tensor]
Names = Sequence[str]


class ImportanceStreams:
    """Samples latents and sums their importance weights, for any target and any proposal.

    Networks run without XLA, whose matrix products and convolutions are slower on a CPU; XLA fuses
    the rest. Each function is traced once per batch size, for all targets.
    """

    def __init__(
        self,
        model: BaseVAE,
        num_samples: int,
        max_rows: int,
        jit_compile: bool = True,
        proposal: LatentSampler | None = None,
    ):
        """Makes the functions; they are traced at their first call. See `ImportanceSampler`.

        Args:
            model: The model.
            num_samples: The number of samples per example.
            max_rows: The largest number of rows to decode at a time, at least one per example.
            jit_compile: Whether XLA compiles densities and sums.
            proposal: A latent sampler that proposes half of the samples.
        """
        if proposal is not None:
            model.check_sampler(proposal)
        self._model = model
        self._num_samples = num_samples
        self._proposal = proposal
        rows = max(modality.likelihood.rows_per_example for modality in model.targets)
        self._max_rows = max(1, max_rows // rows)
        compiled = functools.partial(tf.function, autograph=False, jit_compile=jit_compile or None)
        self._infer = tf.function(self._proposals, autograph=False)
        self._prepare = tf.function(self._prepare_all, autograph=False)
        self._draw, self._draw_from_each = compiled(draw_proposals), compiled(draw_from_each)
        self._add = compiled(LogWeightSums.add)
        self._add_ratio = compiled(RatioSums.add)
        self._log_likelihood = {
            modality.name: self._decoder(modality, compiled) for modality in model.targets
        }

    def marginal(
        self, x: Arrays, mask: Arrays, target: Names, proposal: Names, seed: tf.Tensor
    ) -> Estimate:
        """Estimates `log p(x_T)` with samples from `q(z | x_P)`, or from that and the sampler.

        Args:
            x: All modalities and covariates by name, `[batch, *event_shape]`.
            mask: Their masks.
            target: T.
            proposal: P; the prior if empty.
            seed: Two integers.
        """
        modalities, prepared = self._model.modalities, self._prepare(x, mask)
        posteriors = self._infer(x, masks_of(mask, proposal, modalities))
        asked = masks_of(mask, target, modalities)

        def add(index, chunk, count, sums):
            # z: [chunk * proposal, batch, latent]; log p(z) / q(z): [chunk * proposal, batch].
            z, log_weight = self._draw(posteriors, chunk_seed(seed, index), chunk)
            log_weight = self._add_log_likelihood(log_weight, z, prepared, asked, target)
            return self._add(sums, log_weight, tf.constant(float(count * each)))

        each, size = len(posteriors), len(posteriors[0].mean())
        steps = math.ceil(self._num_samples / each)  # samples per proposal
        sums, path, points = self._stream(
            add, LogWeightSums.nothing(size), LogWeightSums.mean_log, steps, each * size
        )
        return Estimate(
            log_likelihood=sums.mean_log(),
            standard_error=sums.standard_error(),
            effective_sample_size=sums.effective_sample_size(),
            log_weight_variance=sums.variance(),
            path=path,
            path_samples=points * each,
        )

    def ratio(
        self,
        x: Arrays,
        mask: Arrays,
        target: Names,
        given: Names,
        proposals: Sequence[Names],
        seed: tf.Tensor,
    ) -> Estimate:
        """Estimates `log p(x_T | x_S)` with the same samples for numerator and denominator.

        A step takes one sample from each proposal's posterior.

        Args:
            x: All modalities and covariates by name, `[batch, *event_shape]`.
            mask: Their masks.
            target: T.
            given: S.
            proposals: Subsets whose posteriors propose equally many samples.
            seed: Two integers.
        """
        modalities, prepared = self._model.modalities, self._prepare(x, mask)
        of_each = [self._infer(x, masks_of(mask, names, modalities)) for names in proposals]
        posteriors = [posterior for own in of_each for posterior in own]
        first = len(of_each[0])
        asked, known = (masks_of(mask, names, modalities) for names in (target, given))
        each, size = len(posteriors), len(posteriors[0].mean())
        steps = math.ceil(self._num_samples / each)
        blocks = min(_BLOCKS, steps)

        def add(index, chunk, count, sums):
            own = chunk_seed(seed, index)
            z, log_weight, part = self._draw_from_each(posteriors, own, chunk, first)
            log_weight = self._add_log_likelihood(log_weight, z, prepared, known, given)
            log_target = tf.zeros_like(log_weight)
            log_target = self._add_log_likelihood(log_target, z, prepared, asked, target)
            # The samples of one step are in the same block of the jackknife.
            block = tf.repeat((tf.range(chunk) + index * chunk) % blocks, each)
            number = tf.constant(float(count * each))
            return self._add_ratio(sums, log_weight, log_target, part, number, block)

        nothing = RatioSums.nothing(size, blocks)
        sums, path, points = self._stream(add, nothing, RatioSums.log_ratio, steps, each * size)
        error = jackknife_error(sums.log_ratios_without())
        sizes = [part.effective_sample_size() for part in (sums.joint, sums.given)]
        return Estimate(
            log_likelihood=path[-1],
            standard_error=tf.constant(error, tf.float32),
            effective_sample_size=tf.minimum(*sizes),
            log_weight_variance=sums.joint.variance(),
            path=path,
            path_samples=points * each,
        )

    def _decoder(self, modality: Modality, compiled: Callable) -> Callable:
        """Returns a function from latents and data to `log p(x_i | z)`, `[chunk, batch]`."""
        log_prob = compiled(modality.log_prob)
        name = modality.name

        def log_likelihood(z, prepared, there):
            parameters = self._model.likelihood_parameters(z, [name], prepared)[name]
            return log_prob(parameters, prepared[name], there)

        return tf.function(log_likelihood, autograph=False)

    def _proposals(self, x: Arrays, mask: Arrays) -> list[Posterior]:
        """Returns the proposals given the observed modalities, `[batch]` each."""
        proposals = [self._model._infer(x, mask)]
        if self._proposal is not None:
            proposals.append(self._proposal.of(self._model._context(x, mask)))
        return proposals

    def _prepare_all(
        self, x: Mapping[str, tf.Tensor], mask: Mapping[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        return self._model._prepared(x, mask)

    def _stream(
        self, add: Callable, sums: Any, value: Callable, steps: int, rows: int
    ) -> tuple[Any, tf.Tensor, tf.Tensor]:
        """Sums over all steps, chunk by chunk.

        Args:
            add: Adds a chunk to sums; takes the chunk's index, its size, how many of its steps
                count, and the sums.
            sums: The sums over no steps.
            value: The estimate of some sums.
            steps: The number of steps.
            rows: The number of rows to decode per step.

        Returns:
            The sums, the estimate after each chunk, and the number of steps after each chunk.
        """
        chunk, number = (int(n) for n in chunk_sizes(steps, rows, self._max_rows))
        path = []

        def add_chunk(index, sums):
            sums = add(index, chunk, min(chunk, steps - index * chunk), sums)
            path.append(value(sums))
            return sums

        sums = stream_chunks(add_chunk, sums, number)
        return (
            sums,
            tf.cast(tf.stack(path), tf.float32),
            tf.minimum((tf.range(number) + 1) * chunk, steps),
        )

    def _add_log_likelihood(
        self, total: tf.Tensor, z: tf.Tensor, prepared: Arrays, mask: Arrays, names: Names
    ) -> tf.Tensor:
        """Adds `log p(x_i | z)` of named and observed modalities, `[chunk, batch]`."""
        for modality in self._model.targets:
            if not {modality.name, *modality.column_names}.isdisjoint(names):
                name = modality.name
                total += self._log_likelihood[name](z, prepared, mask[name])
        return total
