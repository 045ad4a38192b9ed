"""Log-likelihoods and the variance of importance weights, as analyses of a run."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tf_mvae.errors import UserError
from tf_mvae.evaluation.importance_sampling import ImportanceSampler
from tf_mvae.evaluation.settings import Settings
from tf_mvae.models import BaseVAE

__all__ = ["Question", "analyze", "analyze_variance", "default_questions", "estimate"]

_FEW = 3
_MEMORY = "likelihood"


class Question(NamedTuple):
    """One log-likelihood to estimate: `log p(x_target | x_given)`.

    Attributes:
        target: Names of the target.
        given: Names of what is given; none for a marginal or joint likelihood.
        proposal: Names of what the proposal sees; target and given where None, the prior
            where empty.
    """

    target: tuple[str, ...]
    given: tuple[str, ...] = ()
    proposal: tuple[str, ...] | None = None

    def __str__(self) -> str:
        """Writes it as in a table, without the proposal if that is the usual one."""
        given = f" | {', '.join(self.given)}" if self.given else ""
        proposal = ""
        if self.proposal is not None and set(self.proposal) != {*self.target, *self.given}:
            seen = f"q(z | {', '.join(self.proposal)})" if self.proposal else "p(z)"
            proposal = f", z from {seen}"
        return f"log p({', '.join(self.target)}{given}){proposal}"


def default_questions(model: BaseVAE) -> list[Question]:
    """Returns what is asked of a model if nothing else is said.

    Of up to three modalities: each alone, all together, and each given all others. Of
    more: the first alone, all together, and the first given all others. Of a model with
    conditions: its target given these.
    """
    targets = [modality.name for modality in model.targets]
    if model.conditions:
        return [Question(tuple(targets), model.conditions)]
    asked = targets if len(targets) <= _FEW else targets[:1]
    questions = [Question((name,)) for name in asked]
    if len(targets) > 1:
        questions.append(Question(tuple(targets)))
        for name in asked:
            others = tuple(other for other in targets if other != name)
            questions.append(Question((name,), others))
    return questions


def estimate(
    sampler: ImportanceSampler, batches: Any, questions: Sequence[Question], seed: int = 0
) -> dict[Question, dict[str, Any]]:
    """Estimates log-likelihoods over a data set.

    What several questions need is estimated once. An example counts for a question if it
    has all of its modalities (of a group that is named as a whole, one member or more).

    Args:
        sampler: The model's sampler.
        batches: Batches of `{"x": ..., "mask": ...}`.
        questions: What to estimate.
        seed: Of the samples; a batch's draws depend on its place.

    Returns:
        By question: `value`, the mean over the examples in nats, its `standard_error` (of
        the mean, over examples), `sampling_error` (of the mean, from the importance
        samples alone), mean `effective_sample_size` and `log_weight_variance`, the number
        of `examples`, `path` (mean estimate after so many samples) and what was asked.

    Raises:
        UserError: A question does not fit the model, or no example fits a question.
    """
    model = sampler.model
    parts = {question: _parts(model, question) for question in questions}
    needed = sorted({part for pair in parts.values() for part in pair if part}, key=str)
    found: dict[Any, list] = {part: [] for part in needed}
    masks = []
    for place, batch in enumerate(batches):
        size = len(next(iter(batch["x"].values())))
        masks.append(_presence(model, batch.get("mask") or {}, size))
        for index, part in enumerate(needed):
            result = sampler(batch, *part, seed=[seed, place * len(needed) + index])
            found[part].append([np.asarray(value, np.float64) for value in result])
    if not masks:
        raise UserError("there are no examples to evaluate")
    mask = {name: np.concatenate([m[name] for m in masks]) for name in masks[0]}
    joined = {part: _join(results) for part, results in found.items()}
    return {
        question: {
            **_summary(question, joined[whole], joined.get(condition), mask),
            "target": list(question.target),
            "given": list(question.given),
            "proposal": list(whole[1]),
            "num_samples": sampler.num_samples,
        }
        for question, (whole, condition) in parts.items()
    }


def analyze(run: Any, settings: Settings) -> dict[str, Any]:
    """Estimates log-likelihoods on a run's split; the `log_likelihood` analysis."""
    return {str(question): result for question, result in _estimates(run, settings).items()}


def analyze_variance(run: Any, settings: Settings) -> dict[str, Any]:
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


def _estimates(run: Any, settings: Settings) -> dict[Question, dict[str, Any]]:
    """Estimates once what both analyses look at."""
    if _MEMORY not in settings.memory:
        model = run.model
        questions = list(settings.questions) or default_questions(model)
        batches = settings.shown_batches(run, "log-likelihood")
        sampler = ImportanceSampler(model, settings.num_samples, jit_compile=run.config.jit_compile)
        settings.memory[_MEMORY] = estimate(sampler, batches, questions, settings.seed)
    return settings.memory[_MEMORY]


def _parts(model: BaseVAE, question: Question) -> tuple[Any, Any]:
    """Returns the one or two estimates behind a question, as `(target, proposal)` each."""
    targets = [modality.name for modality in model.targets]
    both = set(question.target) & set(question.given)
    known = [name for m in model.modalities for name in dict.fromkeys((m.name, *m.column_names))]
    unknown = {*question.target, *question.given} - set(known)
    if unknown or both or not question.target:
        raise UserError(
            f"target and given are different modalities of {targets}; "
            f"asked for was {list(question.target)} given {list(question.given)}"
        )

    def ordered(names):
        return tuple(name for name in known if name in names)

    if model.conditions:
        if set(question.given) != set(model.conditions) or set(question.target) - set(targets):
            raise UserError(
                f"this model has {', '.join(targets)} given {', '.join(model.conditions)} only"
            )
        proposal = question.proposal
        proposal = ordered([*question.target, *question.given] if proposal is None else proposal)
        return (ordered(question.target), proposal), None
    union = ordered([*question.target, *question.given])
    proposal = union if question.proposal is None else ordered(question.proposal)
    if not question.given:
        return (union, proposal), None
    return (union, proposal), (ordered(question.given), ordered(question.given))


def _presence(model: BaseVAE, mask: dict[str, Any], size: int) -> dict[str, np.ndarray]:
    """Returns which examples have what, by name of a modality, a group or a member."""
    found = {}
    for modality in model.modalities:
        there = np.asarray(mask.get(modality.name, np.ones(size))) > 0
        if modality.mask_shape:
            there = np.broadcast_to(there.reshape(size, -1), [size, modality.size])
            found |= dict(zip(modality.column_names, there.T, strict=True))
            there = there.any(axis=1)
        found[modality.name] = there
    return found


def _join(results: list[list[np.ndarray]]) -> dict[str, Any]:
    names = ("value", "error", "size", "variance")
    joined = {name: np.concatenate([r[i] for r in results]) for i, name in enumerate(names)}
    # The last batch may be smaller and have other chunks: its path is read off where the
    # others' points are.
    points = results[0][5]
    paths = []
    for result in results:
        path, own = result[4], result[5]
        paths.append(np.stack([np.interp(points, own, column) for column in path.T]))
    return {**joined, "points": points, "path": np.concatenate(paths)}


def _summary(
    question: Question, whole: dict[str, Any], condition: dict[str, Any] | None, mask: dict
) -> dict[str, Any]:
    has = np.logical_and.reduce([mask[name] for name in {*question.target, *question.given}])
    number = int(has.sum())
    if not number:
        raise UserError(f"no example has all that {question} is about")
    value, squared_error, path = whole["value"], whole["error"] ** 2, whole["path"]
    if condition is not None:
        value = value - condition["value"]
        squared_error = squared_error + condition["error"] ** 2
        path = path - condition["path"]
    return {
        **_mean("value", "standard_error", value[has]),
        "sampling_error": math.sqrt(squared_error[has].sum()) / number,
        "effective_sample_size": float(whole["size"][has].mean()),
        **_mean("log_weight_variance", "log_weight_variance_error", whole["variance"][has]),
        "examples": number,
        "unit": "nats",
        "path": {
            "num_samples": [int(point) for point in whole["points"]],
            "value": [float(mean) for mean in path[has].mean(0)],
        },
    }


def _mean(name: str, error_name: str, values: np.ndarray) -> dict[str, float]:
    error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return {name: float(values.mean()), error_name: float(error)}
