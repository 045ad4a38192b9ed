"""The analyses of log-likelihoods and of the variance of importance weights."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_mvae.batch import unpack
from tf_mvae.errors import UserError
from tf_mvae.evaluation.importance_sampling import (
    FEW_EFFECTIVE_SAMPLES,
    Estimate,
    ImportanceSampler,
)
from tf_mvae.evaluation.questions import Question, check_known, check_question, default_questions
from tf_mvae.evaluation.registry import analysis
from tf_mvae.evaluation.run import Run
from tf_mvae.evaluation.settings import Settings
from tf_mvae.evaluation.statistics import mean_and_error
from tf_mvae.models import BaseVAE
from tf_mvae.ops import random
from tf_mvae.samplers import LatentSampler

__all__ = ["analyze", "analyze_variance", "estimate"]

# Seeds of estimates with shared samples differ from those of single likelihoods.
_SHARED_STREAM = 24


class _Part(NamedTuple):
    """One likelihood with its proposal, from which questions are answered."""

    target: tuple[str, ...]
    proposal: tuple[str, ...]


class _Plan(NamedTuple):
    """How a question is answered.

    Attributes:
        whole: The likelihood of the target (of target and given, for a conditional likelihood).
        condition: The likelihood of the given modalities; None if the question has none.
        shared: Whether the same samples are used for both.
    """

    whole: _Part
    condition: _Part | None
    shared: bool


def estimate(
    sampler: ImportanceSampler, batches: Any, questions: Sequence[Question], seed: int = 0
) -> dict[Question, dict[str, Any]]:
    """Estimates mean log-likelihoods over a data set.

    Likelihoods that several questions need are computed once. An example counts for a question if
    all modalities of the question are observed (at least one member of a group). Conditional
    likelihoods are estimated as `ImportanceSampler.conditional` describes: with the same samples
    for numerator and denominator, or as the difference of two estimates if the question has a
    `given_proposal`.

    Args:
        sampler: The importance sampler of the model.
        batches: Batches of `{"x": ..., "mask": ...}`.
        questions: The likelihoods to estimate.
        seed: The seed of the samples; a batch's samples also depend on its index.

    Returns:
        By question:

        - `value`: the mean over examples, in nats;
        - `standard_error`: of the mean, from the spread over examples;
        - `sampling_error`: of the mean, from importance sampling only;
        - `effective_sample_size` and `log_weight_variance`: means over examples;
        - `few_effective_samples`: the fraction of examples with an effective sample size below 10;
        - `examples`: the number of examples;
        - `path`: mean estimates from the first samples only, and their numbers;
        - `target`, `given`, `proposal`, `num_samples`; for a conditional likelihood also its
          `estimator`, `'shared draws'` or `'difference'`.

    Raises:
        UserError: A question does not fit the model, or no example fits a question.
    """
    plans = {question: _plan(sampler.model, question) for question in questions}
    joined, present = _collect(sampler, batches, plans, seed)
    return {
        question: {
            **_summary(question, _answer(question, plan, joined), present),
            "target": list(question.target),
            "given": list(question.given),
            **_estimator(question, plan),
            "num_samples": sampler.num_samples,
        }
        for question, plan in plans.items()
    }


def _collect(
    sampler: ImportanceSampler, batches: Any, plans: Mapping[Question, _Plan], seed: int
) -> tuple[dict[Any, dict[str, Any]], dict[str, np.ndarray]]:
    """Computes the estimates that plans need, each once.

    Returns:
        Every example's estimates, by part or by question with shared samples; and which examples
        have which modality observed, by name.
    """
    parts = sorted({p for plan in plans.values() for p in plan[:2] if p}, key=str)
    shared = [question for question, plan in plans.items() if plan.shared]
    used = {p for plan in plans.values() if not plan.shared for p in plan[:2] if p}
    found: dict[Any, list] = {key: [] for key in (*used, *shared)}
    masks = []
    for place, batch in enumerate(batches):
        _, mask = unpack(batch, sampler.model.batch_inputs)  # a gap may be NaN alone
        masks.append(_presence(sampler.model, mask))
        # The seed of a part does not depend on whether other questions share samples.
        for index, part in enumerate(parts):
            if part in used:
                own = [seed, place * len(parts) + index]
                found[part].append(_arrays(sampler(batch, *part, seed=own)))
        for index, question in enumerate(shared):
            own = random.fold_in(tf.constant([seed, _SHARED_STREAM]), place * len(shared) + index)
            result = sampler.conditional(batch, *question[:3], seed=own)
            found[question].append(_arrays(result))
    if not masks:
        raise UserError("there are no examples to evaluate; choose another --split")
    present = {name: np.concatenate([m[name] for m in masks]) for name in masks[0]}
    return {key: _join(results) for key, results in found.items()}, present


@analysis("log_likelihood", "log-likelihoods by importance sampling", num_samples=1000, asks=True)
def analyze(run: Run, settings: Settings) -> dict[str, Any]:
    """Estimates log-likelihoods on a run's split; the `log_likelihood` analysis."""
    proposal = run.model.proposing_sampler
    found = _estimates(run, settings, proposal)
    # A report names the sampler that a run has: say if these samples are not its.
    said = {} if proposal is run.model.sampler else {"proposal": "posterior"}
    return {str(question): {**result, **said} for question, result in found.items()}


@analysis("weight_variance", "variances of the log importance weights", num_samples=1000, asks=True)
def analyze_variance(run: Run, settings: Settings) -> dict[str, Any]:
    """Measures the variance of the log importance weights; the `weight_variance` analysis.

        Var_{z ~ q(z | x_P)} log (p(x_T | z) p(z) / q(z | x_P)),   in nats^2

    is 0 if the proposal is the true posterior. The proposal is the model's own posterior, without
    the sampler that shares in estimates of likelihoods, so that models can be compared. It is
    averaged over examples, for each marginal and the joint likelihood (for a model with conditions:
    the conditional likelihood). Wu and Goodman, NeurIPS 2018, Table 3.

    Raises:
        UserError: All questions have a `--given`, and the model has no conditions.
    """
    chosen = [
        (question, result)
        for question, result in _estimates(run, settings, None).items()
        if not question.given or run.model.conditions
    ]
    if not chosen:
        raise UserError("--analysis=weight_variance needs a --target without --given")
    return {
        f"variance of log w, {question}": {
            "value": result["log_weight_variance"],
            "standard_error": result["log_weight_variance_error"],
            "examples": result["examples"],
            "proposal": "posterior",  # reports of earlier versions do not say so
            "unit": "nats^2",
        }
        for question, result in chosen
    }


def _estimates(
    run: Run, settings: Settings, proposal: LatentSampler | None
) -> dict[Question, dict[str, Any]]:
    """Estimates all questions, once for both analyses of a run that have the same proposal."""
    key = "likelihood" if proposal is None else "likelihood with the sampler"
    if key not in settings.memory:
        model = run.model
        questions = [
            _separated(question, settings.given_proposal)
            for question in list(settings.questions) or default_questions(model)
        ]
        batches = settings.shown_batches(run, "log-likelihood")
        sampler = ImportanceSampler(
            model,
            settings.num_samples,
            jit_compile=run.config.jit_compile,
            proposal=proposal,
        )
        settings.memory[key] = estimate(sampler, batches, questions, settings.seed)
    return settings.memory[key]


def _separated(question: Question, names: tuple[str, ...] | None) -> Question:
    """Returns the question with the `given_proposal` of the settings, if it is conditional."""
    if names is None or not question.given:
        return question
    special = {("given",): question.given, ("prior",): ()}
    return question._replace(given_proposal=special.get(names, names))


def _plan(model: BaseVAE, question: Question) -> _Plan:
    """Checks a question and returns its plan, with names in the model's order."""
    check_question(model, question.target, question.given)
    for field in ("proposal", "given_proposal"):
        check_known(field, getattr(question, field) or (), model.modalities)
    known = [name for m in model.modalities for name in dict.fromkeys((m.name, *m.column_names))]

    def ordered(names):
        return tuple(name for name in known if name in names)

    union = ordered([*question.target, *question.given])
    proposal = union if question.proposal is None else ordered(question.proposal)
    if model.conditions:
        if not question.given:
            raise UserError(
                f"this model has {', '.join(question.target)} given "
                f"{', '.join(model.conditions)} only; name these as given"
            )
        return _Plan(_Part(ordered(question.target), proposal), None, False)
    if not question.given:
        return _Plan(_Part(union, proposal), None, False)
    separate = question.given if question.given_proposal is None else question.given_proposal
    part = _Part(ordered(question.given), ordered(separate))
    return _Plan(_Part(union, proposal), part, question.given_proposal is None)


def _estimator(question: Question, plan: _Plan) -> dict[str, Any]:
    """Returns the proposals and the estimator of a question, for the report."""
    if plan.condition is None:
        return {"proposal": list(plan.whole.proposal)}
    if not plan.shared:
        separate = {"given_proposal": list(plan.condition.proposal)}
        return {"estimator": "difference", "proposal": list(plan.whole.proposal), **separate}
    proposals = [plan.whole.proposal]
    if question.proposal is None:
        proposals.append(plan.condition.proposal)
    return {"estimator": "shared draws", "proposal": [list(names) for names in proposals]}


def _presence(model: BaseVAE, mask: dict[str, tf.Tensor]) -> dict[str, np.ndarray]:
    """Returns whether each example is observed, by name of a modality, a group or a member."""
    found = {}
    for modality in model.modalities:
        there = mask[modality.name].numpy() > 0
        if modality.mask_shape:
            found |= dict(zip(modality.column_names, there.T, strict=True))
            there = there.any(axis=1)
        found[modality.name] = there
    return found


def _arrays(result: Estimate) -> list[np.ndarray]:
    return [np.asarray(value, np.float64) for value in result]


def _join(results: list[list[np.ndarray]]) -> dict[str, Any]:
    """Concatenates the estimates of all batches; each is the fields of an `Estimate`."""
    names = ("value", "error", "size", "variance")
    joined = {name: np.concatenate([r[i] for r in results]) for i, name in enumerate(names)}
    # The last batch may be smaller, with chunks of another size: interpolate its path at the points
    # of the other batches.
    points = results[0][5]
    paths = []
    for result in results:
        path, own = result[4], result[5]
        paths.append(np.stack([np.interp(points, own, column) for column in path.T]))
    squared_error = joined.pop("error") ** 2
    joined |= {"squared_error": squared_error, "points": points, "path": np.concatenate(paths)}
    return joined


def _answer(question: Question, plan: _Plan, joined: Mapping[Any, Any]) -> dict[str, Any]:
    """Returns each example's estimate: from shared samples, one likelihood, or two."""
    if plan.shared:
        return joined[question]
    whole = joined[plan.whole]
    if plan.condition is None:
        return whole
    condition = joined[plan.condition]
    return whole | {
        "value": whole["value"] - condition["value"],
        "squared_error": whole["squared_error"] + condition["squared_error"],
        "path": whole["path"] - condition["path"],
    }


def _summary(
    question: Question, answer: Mapping[str, Any], present: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Averages each example's estimates over the examples that count; see `estimate`."""
    has = np.logical_and.reduce([present[name] for name in {*question.target, *question.given}])
    number = int(has.sum())
    if not number:
        raise UserError(f"no example has all modalities of {question}; ask for other ones")
    value, error = mean_and_error(answer["value"][has])
    variance, variance_error = mean_and_error(answer["variance"][has])
    sizes = answer["size"][has]
    return {
        "value": value,
        "standard_error": error,
        "sampling_error": math.sqrt(answer["squared_error"][has].sum()) / number,
        "effective_sample_size": float(sizes.mean()),
        "few_effective_samples": float((sizes < FEW_EFFECTIVE_SAMPLES).mean()),
        "log_weight_variance": variance,
        "log_weight_variance_error": variance_error,
        "examples": number,
        "unit": "nats",
        "path": {
            "num_samples": [int(point) for point in answer["points"]],
            "value": [float(mean) for mean in answer["path"][has].mean(0)],
        },
    }
