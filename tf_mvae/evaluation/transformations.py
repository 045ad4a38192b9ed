"""Prediction of one picture from another by the model, simple guesses and supervised networks."""

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
# The PSNR of an exact picture is infinite, so it is limited. An error of half a grey level of 256
# is 54 dB.
_MOST_DB = 60.0

# From given pictures in [0, 1] and the batch's index to predicted ones.
Predictor = Callable[[np.ndarray, int], np.ndarray]


class Pairs(NamedTuple):
    """The pictures of a task in one batch, of examples with both modalities.

    Attributes:
        given: Given pictures, `[batch, height, width, channels]` in [0, 1].
        target: True pictures, `[batch, height, width, channels]` in [0, 1].
    """

    given: np.ndarray
    target: np.ndarray


@analysis(
    "transformations",
    "pictures generated from other pictures, next to simple guesses and supervised networks",
    trains=True,
)
def analyze(run: Run, settings: Settings) -> dict[str, Any]:
    """Measures each task of a run's experiment, one picture from another; `transformations`.

    Thresholds of binary pictures, and the better one of two guesses, are chosen on the validation
    split. The model's prediction is the mean of `p(target | z)` over samples of `q(z | given)`.

    Raises:
        UserError: The experiment has no task for the model, or no example has both pictures of a
            task.
    """
    tasks = _tasks(run)
    batches = {}
    for split in dict.fromkeys(("validation", settings.split)):
        found, _ = settings.batches(run, split)
        batches[split] = found if settings.max_examples is None else found.cache()
    # A mean takes a pass over the training split, and several tasks use the same one.
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
    """Measures the predictions of one method for a task.

    Args:
        task: The task.
        predictor: The method.
        validation: Returns the batches to choose a threshold on.
        test: Returns the batches to evaluate on.

    Returns:
        By metric `value`, `standard_error`, `examples` and `unit`; for a binary target also the
        `threshold`. F1 and IoU are computed over the pixels of all pictures together.
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
    """Returns a model's predictor of a task: the mean over samples of `q(z | given)`.

    Args:
        model: The model.
        task: The task.
        num_samples: The number of samples per example.
        seed: The seed of the samples; a batch's samples also depend on its index.
    """

    def predictor(given, place):
        chosen = {task.given: given}
        stream = random.fold_in(tf.constant([seed, _STREAM]), place)
        return mean_prediction(model, task.target, chosen, num_samples, stream).numpy()

    return predictor


def _tasks(run: Run) -> list[Task]:
    """Returns the experiment's tasks that the model supports."""
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
            f"--experiment={run.experiment.name}; choose another --analysis"
        )
    return tasks


def _predictors(
    run: Run,
    task: Task,
    settings: Settings,
    validation: Callable[[], Iterator[Pairs]],
    mean_of: Callable[[str], np.ndarray],
) -> Iterator[tuple[str, str, Predictor]]:
    """Yields the kind, the name and the predictor of each method of a task."""
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
    """Returns the predictor of a supervised network, trained if it is not saved."""
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
    """Yields prepared pictures of the examples with both modalities of a task."""
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
            # Predictions of a likelihood on the real line may be slightly outside [0, 1].
            yield pairs, np.clip(predictor(pairs.given, place), 0.0, 1.0)


def _picture_rows(task: Task, pairs: Pairs, predicted: np.ndarray) -> dict[str, np.ndarray]:
    """Returns PSNR and SSIM of each picture, and of the parts and corrections the task names."""
    measured = {"": (predicted, pairs.target)}
    for name, place in task.parts.items():
        measured[f" of the {name}"] = tuple(a[:, *place] for a in (predicted, pairs.target))
    for name, correct in task.corrections.items():
        corrected = np.clip(correct(pairs.given, predicted), 0.0, 1.0)
        measured[f" {name}"] = (corrected, pairs.target)
    rows = {}
    for words, (out, true) in measured.items():
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
