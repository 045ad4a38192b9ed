"""Log-likelihoods and the variance of importance weights, as analyses of a run."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

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

__all__ = ["analyze", "analyze_variance", "estimate"]

_MEMORY = "likelihood"

# Seeds of estimates with shared draws, apart from those of one likelihood.
_SHARED_STREAM = 24


class _Part(NamedTuple):
    """One likelihood, with a proposal: what a question is answered from."""

    target: tuple[str, ...]
    proposal: tuple[str, ...]


class _Plan(NamedTuple):
    """How a question is answered: from one part, two of them, or from shared draws."""

    whole: _Part
    condition: _Part | None
    shared: bool


def estimate(
    sampler: ImportanceSampler, batches: Any, questions: Sequence[Question], seed: int = 0
) -> dict[Question, dict[str, Any]]:
    """Estimates log-likelihoods over a data set.

    What several questions need is estimated once. An example counts for a question if all of
    its modalities are present (of a group that is named as a whole, one member or more).
    Conditional likelihoods have the estimator that `ImportanceSampler.conditional` describes:
    the same draws for both sides of the ratio, or the difference of two estimates where a
    question has a `given_proposal`.

    Args:
        sampler: The model's sampler.
        batches: Batches of `{"x": ..., "mask": ...}`.
        questions: What to estimate.
        seed: Of the samples; a batch's draws depend on its place.

    Returns:
        By question: `value`, the mean over the examples in nats, its `standard_error` (of
        the mean, over examples), `sampling_error` (of the mean, from the importance
        samples alone), mean `effective_sample_size` and `log_weight_variance`, the number
        of `examples`, the fraction of them whose effective sample size is below 10
        (`few_effective_samples`), `path` (mean estimate after so many samples), and what was
        asked; for a conditional likelihood also its `estimator`, `'shared draws'` or
        `'difference'`.

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
    """Estimates what plans need, each part once.

    Returns:
        Every example's estimates, by part or by question with shared draws, and which examples
        have what, by name.
    """
    parts = sorted({p for plan in plans.values() for p in plan[:2] if p}, key=str)
    shared = [question for question, plan in plans.items() if plan.shared]
    used = {p for plan in plans.values() if not plan.shared for p in plan[:2] if p}
    found: dict[Any, list] = {key: [] for key in (*used, *shared)}
    masks = []
    for place, batch in enumerate(batches):
        size = len(next(iter(batch["x"].values())))
        masks.append(_presence(sampler.model, batch.get("mask") or {}, size))
        for index, part in enumerate(parts):  # seeds are those of the difference
            if part in used:
                own = [seed, place * len(parts) + index]
                found[part].append(_arrays(sampler(batch, *part, seed=own)))
        for index, question in enumerate(shared):
            own = random.fold_in(tf.constant([seed, _SHARED_STREAM]), place * len(shared) + index)
            result = sampler.conditional(batch, *question[:3], seed=own)
            found[question].append(_arrays(result))
    if not masks:
        raise UserError("there are no examples to evaluate")
    present = {name: np.concatenate([m[name] for m in masks]) for name in masks[0]}
    return {key: _join(results) for key, results in found.items()}, present


@analysis("log_likelihood", "log-likelihoods by importance sampling", num_samples=1000)
def analyze(run: Run, settings: Settings) -> dict[str, Any]:
    """Estimates log-likelihoods on a run's split; the `log_likelihood` analysis."""
    return {str(question): result for question, result in _estimates(run, settings).items()}


@analysis("weight_variance", "variances of the log importance weights", num_samples=1000)
def analyze_variance(run: Run, settings: Settings) -> dict[str, Any]:
    """Returns the variance of the log importance weights; the `weight_variance` analysis.

    Of each marginal and the joint likelihood (of a model with conditions, the conditional
    one): how far the proposal is from the true posterior (0 if it is that), averaged over
    examples (Wu and Goodman, NeurIPS 2018, Table 3).
    """
    chosen = [
        (question, result)
        for question, result in _estimates(run, settings).items()
        if not question.given or run.model.conditions
    ]
    if not chosen:
        raise UserError("--analysis=weight_variance needs a --target without --given")
    return {
        f"variance of log w, {question}": {
            "value": result["log_weight_variance"],
            "standard_error": result["log_weight_variance_error"],
            "examples": result["examples"],
            "unit": "nats^2",
        }
        for question, result in chosen
    }


def _estimates(run: Run, settings: Settings) -> dict[Question, dict[str, Any]]:
    """Estimates once what both analyses look at."""
    if _MEMORY not in settings.memory:
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
            proposal=model.sampler,
        )
        settings.memory[_MEMORY] = estimate(sampler, batches, questions, settings.seed)
    return settings.memory[_MEMORY]


def _separated(question: Question, names: tuple[str, ...] | None) -> Question:
    """Returns a conditional question with the `given_proposal` that settings name."""
    if names is None or not question.given:
        return question
    special = {("given",): question.given, ("prior",): ()}
    return question._replace(given_proposal=special.get(names, names))


def _plan(model: BaseVAE, question: Question) -> _Plan:
    """Returns how a question is answered, with names in the model's order."""
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
    """Returns what is recorded of how a question was answered."""
    if plan.condition is None:
        return {"proposal": list(plan.whole.proposal)}
    if not plan.shared:
        separate = {"given_proposal": list(plan.condition.proposal)}
        return {"estimator": "difference", "proposal": list(plan.whole.proposal), **separate}
    proposals = [plan.whole.proposal]
    if question.proposal is None:
        proposals.append(plan.condition.proposal)
    return {"estimator": "shared draws", "proposal": [list(names) for names in proposals]}


def _presence(model: BaseVAE, mask: dict[str, Any], size: int) -> dict[str, np.ndarray]:
    """Returns which examples have what, by name of a modality, a group or a member."""
    found = {}
    for modality in model.modalities:
        there = np.asarray(mask.get(modality.name, np.ones(size))) > 0
        if modality.element_mask:
            there = there.reshape(size, -1).any(axis=1)
        if modality.mask_shape:
            there = np.broadcast_to(there.reshape(size, -1), [size, modality.size])
            found |= dict(zip(modality.column_names, there.T, strict=True))
            there = there.any(axis=1)
        found[modality.name] = there
    return found


def _arrays(result: Estimate) -> list[np.ndarray]:
    return [np.asarray(value, np.float64) for value in result]


def _join(results: list[list[np.ndarray]]) -> dict[str, Any]:
    names = ("value", "error", "size", "variance")
    joined = {name: np.concatenate([r[i] for r in results]) for i, name in enumerate(names)}
    # The last batch may be smaller and have other chunks: its path is interpolated at the
    # others' points.
    points = results[0][5]
    paths = []
    for result in results:
        path, own = result[4], result[5]
        paths.append(np.stack([np.interp(points, own, column) for column in path.T]))
    squared_error = joined.pop("error") ** 2
    joined |= {"squared_error": squared_error, "points": points, "path": np.concatenate(paths)}
    return joined


def _answer(question: Question, plan: _Plan, joined: Mapping[Any, Any]) -> dict[str, Any]:
    """Returns each example's estimate: shared draws, one likelihood, or the difference of two."""
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
    has = np.logical_and.reduce([present[name] for name in {*question.target, *question.given}])
    number = int(has.sum())
    if not number:
        raise UserError(f"no example has all that {question} is about")
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
