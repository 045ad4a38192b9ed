"""Log-likelihoods by importance sampling, for any part of the data given any other part.

    p(x_T) ~ (1 / K) sum_k w_k,   w_k = p(x_T | z_k) p(z_k) / q(z_k),   z_k ~ q(z)

(Burda, Grosse and Salakhutdinov, ICLR 2016, equation 8), with `q(z | x_P)` for any subset P of
the modalities as the proposal q, or the prior if P is empty. The expected estimate is below the
true value, and converges to it as K grows.

A conditional likelihood is a ratio of two such sums over the same samples,

    p(x_T | x_S) ~ sum_k w_k p(x_T | z_k) / sum_k w_k,   w_k = p(x_S | z_k) p(z_k) / q(z_k)

(self-normalised importance sampling). Half of the samples are from `q(z | x_T, x_S)`, a good
proposal for the numerator, and half from `q(z | x_S)`, a good one for the denominator; q is the
mixture of both.

With a sampler (`tf_mvae.samplers`), half of the samples of each proposal are from q and half from
the sampler's `p(z | P)`. Weights are relative to the mixture of the two, so no weight is more than
twice that of the better one.
"""

from collections.abc import Sequence
from typing import Any

from absl import logging

from tf_mvae import checks
from tf_mvae.batch import unpack
from tf_mvae.errors import UserError
from tf_mvae.evaluation.estimates import Estimate
from tf_mvae.evaluation.importance_streams import ImportanceStreams
from tf_mvae.evaluation.questions import Question, check_known, check_question
from tf_mvae.models import BaseVAE
from tf_mvae.ops import random
from tf_mvae.ops.importance import chunk_seed
from tf_mvae.samplers import LatentSampler

__all__ = ["FEW_EFFECTIVE_SAMPLES", "Estimate", "ImportanceSampler", "chunk_seed"]

FEW_EFFECTIVE_SAMPLES = 10

_MAX_ROWS = 4096

Names = Sequence[str]


class ImportanceSampler:
    """Estimates log-likelihoods of a model, batch by batch, in bounded memory.

    The decoder of each modality is compiled once per batch size, for all subsets. Samples are
    processed in chunks of at most `max_rows` decoded rows, and sums are accumulated as logarithms.
    By default GPUs multiply with TF32 (10 bits instead of 23); call
    `tf.config.experimental.enable_tensor_float_32_execution(False)` for full precision.

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
            num_samples: K, the number of samples per example.
            max_rows: The largest number of latents to decode at a time, at least one per example;
                a sequence counts as many as it has symbols.
            jit_compile: Whether XLA compiles densities and sums (networks run without it).
            proposal: A latent sampler that proposes half of the samples, such as
                `model.sampler`; default: the model's q proposes all.

        Raises:
            ValueError: A number is below 1.
        """
        self.model = checks.instance("model", model, BaseVAE, "a model of tf_mvae")
        num_samples = checks.positive_integer("num_samples", num_samples)
        max_rows = checks.positive_integer("max_rows", max_rows)
        self.num_samples = num_samples
        self._streams = ImportanceStreams(model, num_samples, max_rows, jit_compile, proposal)
        self._warned: set[Question] = set()

    def __call__(
        self,
        batch: Any,
        target: Sequence[str] | None = None,
        proposal: Sequence[str] | None = None,
        seed: int | Sequence[int] = 0,
    ) -> Estimate:
        """Estimates `log p(x_T)`.

        For a model with conditions (a CVAE) it is `log p(x_T | conditions)`; for a model with
        covariates it is conditional on these too.

        If the effective sample size of an example is below 10 (or below half of the samples, if
        there are fewer than 20), its estimate is not reliable. A warning then appears, once for
        each target.

        Args:
            batch: `{"x": ..., "mask": ...}`; modalities that are missing in an example are excluded
                from its target and its proposal.
            target: T; default: all modalities that the model generates. Members of a group may be
                named one by one, here and in the proposal.
            proposal: P; default: T (and the model's conditions). The prior if empty.
            seed: An integer, or two.

        Returns:
            An `Estimate`, in nats per example.

        Raises:
            UserError: A name is unknown, or the batch does not fit the model.
        """
        generated = [modality.name for modality in self.model.targets]
        target = generated if target is None else target
        check_question(self.model, target)
        proposal = [*target, *self.model.conditions] if proposal is None else proposal
        check_known("proposal", proposal, self.model.modalities)
        x, mask = unpack(batch, self.model.batch_inputs)
        found = self._streams.marginal(x, mask, target, proposal, self.model._seed(seed))
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

        The estimator depends on the arguments:

        - By default the same samples estimate `p(x_T, x_S)` and `p(x_S)`: half from `q(z | x_T,
          x_S)` and half from `q(z | x_S)`, with weights relative to their mixture, or all from `q(z
          | x_P)` if there is a `proposal`. The estimated probability of a class is never above 1.
        - With `given_proposal` it is the difference of two estimates from separate samples,
          `log p(x_T, x_S) - log p(x_S)`, as in the paper's Table 2
          (`given_proposal=()`, the prior). Errors of the two add up, and the difference for a
          class can be above 0.
        - For a model with conditions (a CVAE), S must be the conditions, and the estimate is that
          of a call.

        Warnings are logged as for a call.

        Args:
            batch: `{"x": ..., "mask": ...}`.
            target: T.
            given: S, without a modality of T.
            proposal: P, whose posterior proposes all samples; with a `given_proposal` only those
                for `log p(x_T, x_S)` (default: T and S). The prior if empty.
            given_proposal: The proposal's modalities for a separate estimate of `log p(x_S)`.
            seed: An integer, or two.

        Returns:
            An `Estimate`; for a difference see `Estimate.minus`.

        Raises:
            UserError: As for a call, or T or S is empty, or T and S overlap.
        """
        self._check_conditional(target, given, proposal, given_proposal)
        streams, (x, mask) = self._streams, unpack(batch, self.model.batch_inputs)
        seed, both = self.model._seed(seed), [*target, *given]
        whole = both if proposal is None else proposal
        if self.model.conditions:
            found = streams.marginal(x, mask, target, whole, seed)
        elif given_proposal is None:
            proposals = [both, given] if proposal is None else [proposal]
            found = streams.ratio(x, mask, target, given, proposals, seed)
        else:
            seeds = random.split(seed, 2)
            joint = streams.marginal(x, mask, both, whole, seeds[0])
            found = joint.minus(streams.marginal(x, mask, given, given_proposal, seeds[1]))
        self._warn(Question(tuple(target), tuple(given)), found)
        return found

    def _check_conditional(
        self, target: Names, given: Names, proposal: Names | None, given_proposal: Names | None
    ) -> None:
        """Checks the names of a conditional likelihood."""
        check_question(self.model, target, given)
        if not given:
            raise UserError(
                "given must name at least one modality; "
                "call the sampler itself for a likelihood without a condition"
            )
        for what, names in (("proposal", proposal), ("given_proposal", given_proposal)):
            if names is not None:
                check_known(what, names, self.model.modalities)

    def _warn(self, question: Question, found: Estimate) -> None:
        """Logs a warning, once for each question, if effective sample sizes are small."""
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
