"""One picture from another: the model, simple guesses and supervised networks."""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_mvae.batch import unpack
from tf_mvae.data.tasks import Task, possible
from tf_mvae.errors import UserError
from tf_mvae.evaluation import picture_metrics as metrics
from tf_mvae.evaluation.prediction import mean_prediction
from tf_mvae.evaluation.registry import analysis
from tf_mvae.evaluation.run import Run
from tf_mvae.evaluation.settings import Settings
from tf_mvae.evaluation.statistics import mean_and_error, ratio_and_error
from tf_mvae.evaluation.supervised import kept_supervised, translator
from tf_mvae.models import BaseVAE
from tf_mvae.ops import random

__all__ = ["analyze", "measure", "model_predictor"]

_STREAM = 42
# A perfect picture's ratio is infinite; half a grey level of 256 is 54 dB.
_MOST_DB = 60.0

# From given pictures in [0, 1] and the batch's place to predicted ones.
Predictor = Callable[[np.ndarray, int], np.ndarray]


class Pairs(NamedTuple):
    """What a task is about in one batch, for the examples that have both.

    Attributes:
        given: `[batch, height, width, channels]` in [0, 1].
        target: Likewise.
    """

    given: np.ndarray
    target: np.ndarray


@analysis(
    "transformations",
    "pictures generated from other pictures, next to simple guesses and supervised networks",
    trains=True,
)
def analyze(run: Run, settings: Settings) -> dict[str, Any]:
    """Measures every task of a run's experiment; the `transformations` analysis.

    What is chosen (thresholds of binary pictures, the better one of two guesses) is chosen
    on the validation split. The model's prediction is the mean of `p(target | z)` over
    samples of `q(z | given)`.

    Raises:
        UserError: The experiment has no tasks that the model can do, or no example has
            what one needs.
    """
    tasks = _tasks(run)
    batches = {}
    for split in dict.fromkeys(("validation", settings.split)):
        found, _ = settings.batches(run, split)
        batches[split] = found if settings.max_examples is None else found.cache()
    # Several tasks ask for the mean of the same picture, a pass over the training split.
    mean_of = functools.cache(functools.partial(_training_mean, run))
    results = {}
    for task in settings.progress(tasks, desc="tasks", total=len(tasks)):
        splits = [functools.partial(_pairs, run.model, task, found) for found in batches.values()]
        if not any(len(pairs.given) for pairs in splits[0]()):
            continue
        for method, name, predictor in _predictors(run, task, settings, splits[0], mean_of):
            for metric, result in measure(task, predictor, splits[0], splits[-1]).items():
                told = {"task": task.name, "metric": metric, "method": method, "name": name}
                results[f"{task.name}, {metric}: {name}"] = {**result, **told}
    if not results:
        raise UserError("--analysis=transformations: no example has what a task needs")
    return results


def measure(
    task: Task,
    predictor: Predictor,
    validation: Callable[[], Iterator[Pairs]],
    test: Callable[[], Iterator[Pairs]],
) -> dict[str, dict[str, Any]]:
    """Measures one way to do a task.

    Args:
        task: The task.
        predictor: What does it.
        validation: Returns the batches that a threshold is chosen on.
        test: Returns the batches that are measured.

    Returns:
        By metric `value`, `standard_error`, `examples` and `unit`, and of a binary target
        the `threshold`. F1 and IoU are those of all pictures' pixels together.
    """
    if not task.binary:
        rows = _joined(_picture_rows(task, pairs, out) for pairs, out in _run(predictor, test))
        return {
            name: _result(*mean_and_error(values), len(values), name.split()[0])
            for name, values in rows.items()
        }
    rows = _joined(
        {"counts": metrics.counts(out, pairs.target, metrics.THRESHOLDS)}
        for pairs, out in _run(predictor, validation)
    )
    threshold = metrics.THRESHOLDS[metrics.best_threshold(rows["counts"])]
    rows = _joined(
        {
            "counts": metrics.counts(out, pairs.target, np.array([threshold]))[:, 0],
            "tolerant": metrics.tolerant_counts(out, pairs.target, threshold),
        }
        for pairs, out in _run(predictor, test)
    )
    wanted = {"F1": (metrics.f1, "counts"), "IoU": (metrics.iou, "counts")}
    if task.tolerance:
        wanted = {"F1": wanted["F1"], "F1 within a pixel": (metrics.tolerant_f1, "tolerant")}
    note = {"threshold": float(threshold), "note": f"threshold {threshold:.2f}"}
    return {
        name: _result(*ratio_and_error(statistic, rows[part]), len(rows[part]), "%") | note
        for name, (statistic, part) in wanted.items()
    }


def model_predictor(model: BaseVAE, task: Task, num_samples: int, seed: int = 0) -> Predictor:
    """Returns how a model does a task: the mean over samples of `q(z | given)`."""

    def predictor(given, place):
        chosen = {task.given: given}
        stream = random.fold_in(tf.constant([seed, _STREAM]), place)
        return mean_prediction(model, task.target, chosen, num_samples, stream).numpy()

    return predictor


def _tasks(run: Run) -> list[Task]:
    model = run.model
    names = [m.name for m in model.modalities if m in model.targets or m.name in model.conditions]
    tasks = [
        task
        for task in possible(run.experiment.tasks, names)
        if set(model.conditions) <= {task.given} and task.target not in model.conditions
    ]
    if not tasks:
        raise UserError(
            f"--analysis=transformations has no task for --model={run.config.model} of "
            f"--experiment={run.experiment.name}; leave it out"
        )
    return tasks


def _predictors(
    run: Run,
    task: Task,
    settings: Settings,
    validation: Callable[[], Iterator[Pairs]],
    mean_of: Callable[[str], np.ndarray],
) -> Iterator[tuple[str, str, Predictor]]:
    """Yields the kind, the name and the predictor of every way to do a task."""
    yield "model", "model", model_predictor(run.model, task, settings.num_samples, settings.seed)
    steps = settings.baseline_steps_of(run)
    if steps:
        yield "supervised", f"supervised, {steps} steps", _supervised(run, task, settings)
    mean = mean_of(task.target)
    guesses = {
        name: lambda given, _, guess=guess: guess(given, mean)
        for name, guess in task.guesses.items()
    }
    name = next(iter(guesses))
    if len(guesses) > 1:
        found = {
            name: measure(task, guess, validation, validation) for name, guess in guesses.items()
        }
        first = next(iter(found[name]))
        name = max(found, key=lambda name: found[name][first]["value"])
    yield "guess", name, guesses[name]


def _supervised(run: Run, task: Task, settings: Settings) -> Predictor:
    modalities = {m.name: m for m in run.model.modalities}
    given, target = modalities[task.given], modalities[task.target]
    network = kept_supervised(
        run,
        settings,
        given,
        target,
        lambda: translator(given, target, run.config.latent_dim),
        lambda: run.seen_split("train"),
    )

    def predictor(pixels, _):
        return target.likelihood.expected_value(network(pixels, training=False)).numpy()

    return predictor


def _training_mean(run: Run, name: str) -> np.ndarray:
    """Returns the mean picture of the training split, `[height, width, channels]` in [0, 1]."""
    modality = next(m for m in run.model.modalities if m.name == name)
    total, number = 0.0, 0
    for batch in run.seen_split("train").only([name]).dataset.batch(500):
        x, mask = unpack(batch, [modality])
        pixels = x[name].numpy()[mask[name].numpy() > 0]
        total = total + pixels.sum(axis=0, dtype=np.float64)
        number += len(pixels)
    scale = 255.0 if pixels.dtype == np.uint8 else 1.0
    return (total / max(number, 1) / scale).astype(np.float32)


def _pairs(model: BaseVAE, task: Task, batches: tf.data.Dataset) -> Iterator[Pairs]:
    modalities = {m.name: m for m in model.modalities}
    for batch in batches:
        x, mask = unpack(batch, model.batch_inputs)
        there = (mask[task.given] * mask[task.target]).numpy() > 0
        ones = tf.ones(len(there))
        parts = (modalities[name].prepare(x[name], ones) for name in (task.given, task.target))
        yield Pairs(*(part.numpy()[there] for part in parts))


def _run(
    predictor: Predictor, examples: Callable[[], Iterator[Pairs]]
) -> Iterator[tuple[Pairs, np.ndarray]]:
    for place, pairs in enumerate(examples()):
        if len(pairs.given):
            yield pairs, predictor(pairs.given, place)


def _picture_rows(task: Task, pairs: Pairs, predicted: np.ndarray) -> dict[str, np.ndarray]:
    parts = {"": (slice(None), slice(None)), **{f" of the {n}": p for n, p in task.parts.items()}}
    rows = {}
    for words, (down, across) in parts.items():
        out, true = (a[:, down, across] for a in (predicted, pairs.target))
        rows[f"PSNR{words}"] = np.minimum(metrics.psnr(out, true), _MOST_DB)
        rows[f"SSIM{words}"] = metrics.ssim(out, true)
    return rows


def _joined(parts: Iterator[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    found = list(parts)
    if not found:
        raise UserError("--analysis=transformations: no example has what a task needs")
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}


def _result(value: float, error: float, examples: int, unit: str) -> dict[str, Any]:
    unit = {"PSNR": "dB", "SSIM": ""}.get(unit, unit)
    return {"value": value, "standard_error": error, "examples": examples, "unit": unit}
