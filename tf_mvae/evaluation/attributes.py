"""How well attributes are predicted from an image, next to a supervised classifier."""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_mvae.batch import unpack
from tf_mvae.data.pipeline import Split
from tf_mvae.errors import UserError
from tf_mvae.evaluation.prediction import mean_prediction
from tf_mvae.evaluation.registry import analysis
from tf_mvae.evaluation.run import Run
from tf_mvae.evaluation.settings import Settings
from tf_mvae.evaluation.statistics import ratio_and_error, share
from tf_mvae.evaluation.supervised import kept_supervised, reader
from tf_mvae.evaluation.thresholds import balanced_thresholds
from tf_mvae.group import ModalityGroup, attribute_groups
from tf_mvae.modality import Modality
from tf_mvae.models import BaseVAE
from tf_mvae.ops import random

__all__ = [
    "analyze",
    "attribute_classifier",
    "attribute_results",
    "mean_over_attributes",
    "network_predictor",
    "predicted_attributes",
    "prevalence",
]

_STREAM = 43

# From given data `[batch, ...]`, their mask and the batch's place to probabilities.
Predictor = Callable[[tf.Tensor, tf.Tensor, int], np.ndarray]


def attribute_results(
    predictor: Predictor,
    batches: Iterable[Any],
    model: BaseVAE,
    given: Modality,
    group: ModalityGroup,
    thresholds: np.ndarray,
) -> dict[str, dict[str, Any]]:
    """Measures predicted attributes.

    Accuracy takes an attribute for there from a probability of a half. Balanced accuracy, the
    mean of the fractions of its positives and its negatives that are named right, has a threshold
    for each attribute: a rare one's probabilities seldom reach a half.

    Args:
        predictor: What predicts them, `[batch, member]`.
        batches: Batches of `{"x": ..., "mask": ...}`.
        model: The model, for its modalities.
        given: What is given.
        group: The attributes.
        thresholds: Of balanced accuracy, `[member]`.

    Returns:
        `"MEMBER, accuracy"` and `"MEMBER, balanced accuracy"` to `value`, `standard_error` and
        `examples`; the latter, with its `threshold`, only where some have it and some do not;
        and the means over attributes, under `"mean"`.
    """
    probabilities, true, counts = predicted_attributes(predictor, batches, model, given, group)
    found: dict[str, dict[str, Any]] = {}
    for column, name in enumerate(group.members):
        rows = counts[:, column]
        p, has = probabilities[rows, column], true[rows, column]
        if not len(p):
            continue
        found[f"{name}, accuracy"] = share(((p > 0.5) == has).sum(), len(p))
        if 0 < has.sum() < len(p):
            right = (p > thresholds[column]) == has
            note = {"threshold": float(thresholds[column])}
            found[f"{name}, balanced accuracy"] = _balanced(right[has], right[~has]) | note
    right = (probabilities > 0.5) == true
    named = (probabilities > thresholds) == true
    parts = {
        "accuracy": [(right, counts)],
        "balanced accuracy": [(named, counts & true), (named, counts & ~true)],
    }
    means = {metric: mean_over_attributes(part) for metric, part in parts.items()}
    return found | {f"mean, {metric}": mean for metric, mean in means.items() if mean is not None}


def prevalence(split: Split, group: ModalityGroup) -> np.ndarray:
    """Returns how often each attribute is there, of the examples that say, `[member]`."""
    there, known = np.zeros(group.size), np.zeros(group.size)
    for batch in split.only([group.name]).dataset.batch(500):
        x, mask = unpack(batch, [group])
        there += tf.reduce_sum(tf.cast(x[group.name], tf.float32) * mask[group.name], 0).numpy()
        known += tf.reduce_sum(mask[group.name], 0).numpy()
    return there / np.maximum(known, 1)


@analysis(
    "attributes", "attributes predicted from images, next to a supervised classifier", trains=True
)
def analyze(run: Run, settings: Settings) -> dict[str, Any]:
    """Measures every group of attributes given every single modality; the `attributes` analysis.

    The model is compared with a classifier that is trained for this alone: the modality's own
    encoder with a linear layer on top, on the same incomplete examples. The thresholds of either
    are those that are best on the validation split.

    Raises:
        UserError: The model has no group of attributes and something to read them off.
    """
    groups = attribute_groups(run.model.targets)
    singles = [m for m in run.model.modalities if not m.mask_shape]
    if not groups or not singles:
        raise UserError(
            "--analysis=attributes needs a model of a group of attributes and something to read "
            "them off, as --experiment=celeba19; leave it out"
        )
    seen = run.seen_split("train")
    rates = {group.name: prevalence(seen, group) for group in groups}
    results = {}
    for group, given in itertools.product(groups, singles):
        predictors = {"model": _reader(run.model, group, given, settings)}
        if settings.baseline_steps_of(run):
            network = attribute_classifier(run, seen, group, given, settings)
            predictors["supervised"] = network_predictor(network, given, group)
        for method, predictor in predictors.items():
            asked = (run.model, given, group)
            batches = settings.shown_batches(run, f"thresholds, {method}", "validation")
            checked = predicted_attributes(predictor, batches, *asked)
            thresholds = balanced_thresholds(*checked, otherwise=rates[group.name])
            batches = settings.shown_batches(run, f"attributes, {method}")
            found = attribute_results(predictor, batches, *asked, thresholds)
            results |= {
                f"{name} | {given.name}: {method}": {**result, "method": method}
                for name, result in found.items()
            }
    return results


def predicted_attributes(
    predictor: Predictor,
    batches: Iterable[Any],
    model: BaseVAE,
    given: Modality,
    group: Modality,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns probabilities, what is there, and what is known of it, `[picture, member]` each.

    Args:
        predictor: What predicts them.
        batches: Batches of `{"x": ..., "mask": ...}`.
        model: The model, for its modalities.
        given: What is given.
        group: The attributes, a group or a vector.
    """
    parts = []
    for place, batch in enumerate(batches):
        x, mask = unpack(batch, model.batch_inputs)
        true, there = x[group.name].numpy() > 0.5, mask[given.name].numpy()[:, np.newaxis]
        counts = there * np.reshape(mask[group.name], [len(true), -1]) > 0
        probabilities = predictor(x[given.name], mask[given.name], place)
        parts.append((probabilities, true, np.broadcast_to(counts, true.shape)))
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def _reader(model: BaseVAE, group: ModalityGroup, given: Modality, settings: Settings) -> Predictor:
    @tf.function(autograph=False, reduce_retracing=True)
    def predict(value, mask, seed):
        number, there = settings.num_samples, {given.name: mask}
        return mean_prediction(model, group.name, {given.name: value}, number, seed, there)

    stream = tf.constant([settings.seed, _STREAM])
    return lambda value, mask, place: predict(value, mask, random.fold_in(stream, place)).numpy()


def attribute_classifier(
    run: Run, split: Split, group: Modality, given: Modality, settings: Settings
) -> keras.Model:
    """Returns the supervised classifier that a run directory keeps, trained if it is not there.

    Args:
        run: The run.
        split: The training examples.
        group: The attributes, a group or a vector.
        given: What they are predicted from.
        settings: How to evaluate; `baseline_steps` are the classifier's.

    Returns:
        A network from prepared data to the parameters of the group's likelihood.
    """
    return kept_supervised(run, settings, given, group, lambda: reader(given, group), lambda: split)


def network_predictor(network: keras.Model, given: Modality, group: Modality) -> Predictor:
    """Returns a predictor of attributes by a network of `attribute_classifier`."""

    @tf.function(autograph=False, reduce_retracing=True)
    def predict(value, mask):
        parameters = network(given.prepare(value, mask), training=False)
        return group.likelihood.expected_value(parameters)

    return lambda value, mask, _: predict(value, mask).numpy()


def _balanced(right_of_haves: np.ndarray, right_of_have_nots: np.ndarray) -> dict[str, Any]:
    parts = [share(part.sum(), len(part)) for part in (right_of_haves, right_of_have_nots)]
    return {
        "value": sum(part["value"] for part in parts) / 2,
        "standard_error": math.hypot(*(part["standard_error"] for part in parts)) / 2,
        "examples": sum(part["examples"] for part in parts),
    }


def mean_over_attributes(
    parts: Sequence[tuple[np.ndarray, np.ndarray]],
) -> dict[str, Any] | None:
    """Returns the mean over the attributes that have all parts, None if there are none.

    Attributes of one picture are named right or wrong together; so the error is that of
    pictures, by the jackknife.

    Args:
        parts: What is right, and what counts, `[picture, member]` each; an attribute's figure
            is the mean over parts of the fraction that is right.
    """
    whole = np.all([counts.any(axis=0) for _, counts in parts], axis=0)
    if not whole.any():
        return None
    sums = np.stack([a[:, whole] for right, counts in parts for a in (right & counts, counts)], 1)
    shape = sums.shape[1:]

    def mean(totals: np.ndarray) -> np.ndarray:
        totals = totals.reshape(*totals.shape[:-1], *shape)
        right, number = totals[..., ::2, :], totals[..., 1::2, :]
        return (right / np.maximum(number, 1)).mean(axis=(-2, -1))

    pictures = np.any([counts[:, whole] for _, counts in parts], axis=(0, 2))
    rows = sums[pictures].reshape(pictures.sum(), -1).astype(float)
    value, error = ratio_and_error(mean, rows)
    return {"value": value, "standard_error": error, "examples": int(pictures.sum())}
