"""Log-likelihoods by importance sampling, for any part of the data given any other part.

    p(x_T) ~ (1 / K) sum_k w_k,   w_k = p(x_T | z_k) p(z_k) / q(z_k),   z_k ~ q(z)

(Burda, Grosse and Salakhutdinov, ICLR 2016, equation 8), with `q(z | x_P)` for any subset P of
the modalities as the proposal q, or none: the prior. On average an estimate is below the true
value, and rises to it with the number of samples.

A conditional likelihood is a ratio of two such sums over the same draws,

    p(x_T | x_S) ~ sum_k w_k p(x_T | z_k) / sum_k w_k,   w_k = p(x_S | z_k) p(z_k) / q(z_k)

(self-normalised importance sampling), half of them from `q(z | x_T, x_S)`, which the numerator
needs, and half from `q(z | x_S)`, which the denominator needs: q is their mixture.

With a sampler (`tf_mvae.samplers`), half of the draws that a subset proposes are from q and half
are from the sampler's `p(z | P)`, weighed against the mixture of the two: no weight is more than
twice what the better of them gives.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf
from absl import logging

from tf_mvae.batch import unpack
from tf_mvae.errors import UserError
from tf_mvae.evaluation.questions import Question, check_known, check_question, masks_of
from tf_mvae.evaluation.statistics import jackknife_error
from tf_mvae.modality import Modality
from tf_mvae.models import BaseVAE
from tf_mvae.ops import random
from tf_mvae.ops.importance import (
    LogWeightSums,
    chunk_seed,
    chunk_sizes,
    stream_chunks,
)
from tf_mvae.ops.importance_ratio import RatioSums
from tf_mvae.posteriors import Posterior, draw_from_each, draw_proposal
from tf_mvae.samplers import LatentSampler

__all__ = ["FEW_EFFECTIVE_SAMPLES", "Estimate", "ImportanceSampler", "chunk_seed"]

FEW_EFFECTIVE_SAMPLES = 10

_BLOCKS = 100  # of draws, for the jackknife
_MAX_ROWS = 4096

Arrays = Mapping[str, tf.Tensor]
Names = Sequence[str]


class Estimate(NamedTuple):
    """An importance-sampled log-likelihood of each example, in nats.

    Attributes:
        log_likelihood: The estimate, `[batch]`; 0 where the whole target is missing.
        standard_error: Its standard error over the samples, `[batch]`, as the weights that
            were drawn show it: too small, by half say, where the effective sample size is
            below some tens, because the largest weights have not been drawn. Of a conditional
            likelihood from shared draws it is the jackknife's over 100 blocks of draws, NaN of
            one block.
        effective_sample_size: `(sum w)^2 / sum w^2`, between 1 and the number of
            samples, `[batch]`. Of a conditional likelihood from shared draws it is the smaller
            one of the two sums'.
        log_weight_variance: The variance of `log w` over the samples, `[batch]`.
        path: The estimate after some of the samples, `[chunk, batch]`.
        path_samples: After how many, `[chunk]`.
    """

    log_likelihood: tf.Tensor
    standard_error: tf.Tensor
    effective_sample_size: tf.Tensor
    log_weight_variance: tf.Tensor
    path: tf.Tensor
    path_samples: tf.Tensor


class ImportanceSampler:
    """Estimates log-likelihoods of a model, batch by batch, in bounded memory.

    Each modality's decoding is compiled once (and once more for another batch size), and
    serves every subset. Samples come in chunks of at most `max_rows` decoded rows; their
    sums are kept in logarithms. A GPU multiplies in TF32 (10 bits of 23) unless
    `tf.config.experimental.enable_tensor_float_32_execution(False)` says otherwise.

    Example:

    ```python
    sampler = ImportanceSampler(model, num_samples=1000)
    batch = {"x": {"image": images, "label": labels}}
    sampler(batch, target=["image"], proposal=["image"]).log_likelihood      # log p(image)
    sampler.conditional(batch, target=["image"], given=["label"])            # log p(image | label)
    ```
    """

    def __init__(
        self,
        model: BaseVAE,
        num_samples: int = 1000,
        max_rows: int = _MAX_ROWS,
        jit_compile: bool = True,
        proposal: LatentSampler | None = None,
    ):
        """Prepares a sampler.

        Args:
            model: The model.
            num_samples: K, the number of samples an example.
            max_rows: The most latents that are decoded at a time, at least one an example;
                a sequence counts as many as it has symbols.
            jit_compile: Whether XLA compiles densities and sums (networks run outside it).
            proposal: A sampler of the latent that proposes half of the draws, such as
                `model.sampler`; default: the model's q proposes all.

        Raises:
            ValueError: A number is below 1.
        """
        if num_samples < 1 or max_rows < 1:
            raise ValueError("num_samples and max_rows must be at least 1")
        self.model = model
        self.num_samples = num_samples
        rows = max(modality.likelihood.rows_per_example for modality in model.targets)
        self._max_rows = max(1, max_rows // rows)
        self._warned: set[Question] = set()
        self._names = [modality.name for modality in model.modalities]
        # Networks run outside XLA, whose matrix products and convolutions are slower on a
        # CPU; XLA fuses the rest. Each part is traced once (a batch size), whatever is asked.
        compiled = functools.partial(tf.function, autograph=False, jit_compile=jit_compile or None)
        if proposal is not None:
            model.check_sampler(proposal)
        self.proposal = proposal
        self._infer = tf.function(self._proposals, autograph=False)
        self._prepare = tf.function(self._prepare_all, autograph=False)
        self._draw, self._draw_mixture = compiled(draw_proposal), compiled(draw_from_each)
        self._add = compiled(LogWeightSums.add)
        self._add_ratio = compiled(RatioSums.add)
        self._log_likelihood = {
            modality.name: self._decoder(modality, compiled) for modality in model.targets
        }

    def __call__(
        self,
        batch: Any,
        target: Sequence[str] | None = None,
        proposal: Sequence[str] | None = None,
        seed: int | Sequence[int] = 0,
    ) -> Estimate:
        """Estimates `log p(x_T)`.

        For a model with conditions (a CVAE) it is `log p(x_T | conditions)`, and with covariates
        given these, too.

        A warning is logged once for each question where the effective sample size of an example
        is below 10 (or half of the samples, of fewer than 20): its estimate is not reliable.

        Args:
            batch: `{"x": ..., "mask": ...}`; what is missing in an example is neither in its
                target nor in its proposal.
            target: T; default: all that the model generates. Members of a group may be
                named by themselves, here and in the proposal.
            proposal: P; default: T (and the model's conditions). The prior if empty.
            seed: A number, or two.

        Raises:
            UserError: A name is not known, or the batch does not fit the model.
        """
        generated = [modality.name for modality in self.model.targets]
        target = generated if target is None else target
        check_question(self.model, target)
        proposal = [*target, *self.model.conditions] if proposal is None else proposal
        check_known("proposal", proposal, self.model.modalities)
        x, mask = unpack(batch, self.model.batch_inputs)
        found = self._marginal(x, mask, target, proposal, self.model._seed(seed))
        self._warn(Question(tuple(target), self.model.conditions), found)
        return found

    def conditional(
        self,
        batch: Any,
        target: Sequence[str],
        given: Sequence[str],
        proposal: Sequence[str] | None = None,
        given_proposal: Sequence[str] | None = None,
        seed: int | Sequence[int] = 0,
    ) -> Estimate:
        """Estimates `log p(x_T | x_S)`.

        Which estimator is used:

        - By default one set of draws serves `p(x_T, x_S)` and `p(x_S)`, half from
          `q(z | x_T, x_S)` and half from `q(z | x_S)`, weighed against the mixture of the two;
          all from `q(z | x_P)` with `proposal`. The estimate of a probability (of a class) is
          never above 1.
        - With `given_proposal` it is the difference of two estimates with draws of their own,
          `log p(x_T, x_S) - log p(x_S)`, as in the paper's Table 2
          (`given_proposal=()`, the prior). Errors of the two add up, and the difference for a
          class can be above 0.
        - Of a model with conditions (a CVAE) it is the call's estimate of `log p(x_T)`.

        A warning is logged as for a call.

        Args:
            batch: `{"x": ..., "mask": ...}`.
            target: T.
            given: S, apart from T.
            proposal: Whose posterior proposes all draws, or those for `log p(x_T, x_S)` if there
                is a `given_proposal`; see above for the default, which is T and S for the
                difference. The prior if empty.
            given_proposal: Whose posterior proposes the draws of a separate estimate of
                `log p(x_S)`; the prior if empty.
            seed: A number, or two.

        Returns:
            An `Estimate`. Its standard error is the jackknife's over blocks of draws; of a
            difference the root of the sum of squares, and effective sample size and
            variance of the log weights are those of the estimate of `log p(x_T, x_S)`.

        Raises:
            UserError: As for a call, or T or S is empty, or T and S overlap.
        """
        check_question(self.model, target, given)
        if not given:
            raise UserError(
                "given must name at least one modality; "
                "call the sampler itself for a likelihood without a condition"
            )
        for what, names in (("proposal", proposal), ("given_proposal", given_proposal)):
            if names is not None:
                check_known(what, names, self.model.modalities)
        x, mask = unpack(batch, self.model.batch_inputs)
        seed, both = self.model._seed(seed), [*target, *given]
        if self.model.conditions:
            found = self._marginal(x, mask, target, both if proposal is None else proposal, seed)
        elif given_proposal is None:
            proposals = [both, given] if proposal is None else [proposal]
            found = self._ratio(x, mask, target, given, proposals, seed)
        else:
            seeds = random.split(seed, 2)
            whole = both if proposal is None else proposal
            whole = self._marginal(x, mask, both, whole, seeds[0])
            part = self._marginal(x, mask, given, given_proposal, seeds[1])
            found = whole._replace(
                log_likelihood=whole.log_likelihood - part.log_likelihood,
                standard_error=tf.sqrt(whole.standard_error**2 + part.standard_error**2),
                path=whole.path - part.path,
            )
        self._warn(Question(tuple(target), tuple(given)), found)
        return found

    def _warn(self, question: Question, found: Estimate) -> None:
        """Logs, once for each question, that effective sample sizes are small."""
        sizes = found.effective_sample_size.numpy()
        few = min(FEW_EFFECTIVE_SAMPLES, self.num_samples / 2)
        number = int((sizes < few).sum())
        if number and question not in self._warned:
            self._warned.add(question)
            logging.warning(
                "%s: the effective sample size is below %g for %d of %d examples (smallest %.1f "
                "of %d samples); their estimates are not reliable and the standard errors too "
                "small: take more samples, or another proposal",
                *(question, few, number, len(sizes), sizes.min(), self.num_samples),
            )

    def _decoder(self, modality: Modality, compiled: Callable) -> Callable:
        """Returns a function from latents and data to `log p(x_i | z)`, `[chunk, batch]`."""
        log_prob = compiled(modality.log_prob)
        name = modality.name

        def log_likelihood(z, prepared, there):
            parameters = self.model.likelihood_parameters(z, [name], prepared)[name]
            return log_prob(parameters, prepared[name], there)

        return tf.function(log_likelihood, autograph=False)

    def _proposals(self, x: Arrays, mask: Arrays) -> list[Posterior]:
        """Returns what proposes latents given what is present, `[batch]` each."""
        proposals = [self.model._infer(x, mask)]
        if self.proposal is not None:
            proposals.append(self.proposal.of(self.model._context(x, mask)))
        return proposals

    def _prepare_all(
        self, x: Mapping[str, tf.Tensor], mask: Mapping[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        return self.model._prepared(x, mask)

    def _marginal(
        self, x: Arrays, mask: Arrays, target: Names, proposal: Names, seed: tf.Tensor
    ) -> Estimate:
        """Estimates `log p(x_T)` with draws from `q(z | x_P)`, or that and the sampler."""
        modalities, prepared = self.model.modalities, self._prepare(x, mask)
        posteriors = self._infer(x, masks_of(mask, proposal, modalities))
        asked = masks_of(mask, target, modalities)

        def add(index, chunk, count, sums):
            own = chunk_seed(seed, index)
            if each == 1:
                z, log_weight = self._draw(posteriors[0], own, chunk)
            else:
                z, log_weight, _ = self._draw_mixture(posteriors, own, chunk)
            log_weight = self._add_log_likelihood(log_weight, z, prepared, asked, target)
            return self._add(sums, log_weight, tf.constant(float(count * each)))

        each, size = len(posteriors), len(posteriors[0].mean())
        steps = math.ceil(self.num_samples / each)
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

    def _ratio(
        self,
        x: Arrays,
        mask: Arrays,
        target: Names,
        given: Names,
        proposals: Sequence[Names],
        seed: tf.Tensor,
    ) -> Estimate:
        """Estimates `log p(x_T | x_S)` with the same draws for numerator and denominator.

        A step takes one draw from each proposal's posterior.
        """
        modalities, prepared = self.model.modalities, self._prepare(x, mask)
        of_each = [self._infer(x, masks_of(mask, names, modalities)) for names in proposals]
        posteriors = [posterior for own in of_each for posterior in own]
        first = len(of_each[0])
        asked, known = (masks_of(mask, names, modalities) for names in (target, given))
        each, size = len(posteriors), len(posteriors[0].mean())
        steps = math.ceil(self.num_samples / each)
        blocks = min(_BLOCKS, steps)

        def add(index, chunk, count, sums):
            own = chunk_seed(seed, index)
            z, log_weight, part = self._draw_mixture(posteriors, own, chunk, first)
            log_weight = self._add_log_likelihood(log_weight, z, prepared, known, given)
            log_target = tf.zeros_like(log_weight)
            log_target = self._add_log_likelihood(log_target, z, prepared, asked, target)
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

    def _stream(
        self, add: Callable, sums: Any, value: Callable, steps: int, rows: int
    ) -> tuple[Any, tf.Tensor, tf.Tensor]:
        """Adds up chunks of steps of so many rows; returns sums, estimates on the way, steps."""
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
        """Adds `log p(x_i | z)` of what is named and present, `[chunk, batch]`."""
        for modality in self.model.targets:
            if not {modality.name, *modality.column_names}.isdisjoint(names):
                name = modality.name
                total += self._log_likelihood[name](z, prepared, mask[name])
        return total
