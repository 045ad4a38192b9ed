"""The accuracy of attributes that are predicted from an image, and of a supervised classifier."""

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
    "known_members",
    "mean_over_attributes",
    "network_predictor",
    "predicted_attributes",
    "prevalence",
]

_STREAM = 43

# From given data [batch, ...], their mask [batch] and the batch's index to probabilities
# [batch, member].
Predictor = Callable[[tf.Tensor, tf.Tensor, int], np.ndarray]


def attribute_results(
    predictor: Predictor,
    batches: Iterable[Any],
    model: BaseVAE,
    given: Modality,
    group: ModalityGroup,
    thresholds: np.ndarray,
) -> dict[str, dict[str, Any]]:
    """Measures the accuracy and the balanced accuracy of predicted attributes.

        accuracy          = (TP + TN) / n                    at a probability of 0.5
        balanced accuracy = (TP / P + TN / N) / 2            at the attribute's own threshold

    with P positives and N negatives. An own threshold is needed because the probabilities of a rare
    attribute seldom reach 0.5.

    Args:
        predictor: The predictor of probabilities, `[batch, member]`.
        batches: Batches of `{"x": ..., "mask": ...}`.
        model: The model, for its modalities.
        given: The modality that attributes are predicted from.
        group: The attributes.
        thresholds: The thresholds of balanced accuracy, `[member]`.

    Returns:
        `value`, `standard_error` and `examples` by `"MEMBER, accuracy"` and
        `"MEMBER, balanced accuracy"`; the latter also with its `threshold`, and only for attributes
        with positives and negatives. `"mean, accuracy"` and `"mean, balanced accuracy"` are the
        means over attributes. Accuracies have the `frequent` one of a useless model, which gives
        everyone the more frequent answer (its balanced accuracy is 1/2).
    """
    probabilities, true, counts = predicted_attributes(predictor, batches, model, given, group)
    found: dict[str, dict[str, Any]] = {}
    for column, name in enumerate(group.members):
        rows = counts[:, column]
        p, has = probabilities[rows, column], true[rows, column]
        if not len(p):
            continue
        useless = {"frequent": float(max(has.mean(), 1 - has.mean()))}
        found[f"{name}, accuracy"] = share(((p > 0.5) == has).sum(), len(p)) | useless
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
    frequent = [part["frequent"] for part in found.values() if "frequent" in part]
    if means["accuracy"] is not None:
        means["accuracy"]["frequent"] = float(np.mean(frequent))
    return found | {f"mean, {metric}": mean for metric, mean in means.items() if mean is not None}


def known_members(mask: Any, true: np.ndarray) -> np.ndarray:
    """Returns which attributes are observed, `[example, member]`, as `true` is.

    Args:
        mask: Of a group `[example, member]`, of a vector `[example]`.
        true: True values.
    """
    return np.broadcast_to(np.reshape(mask, [len(true), -1]) > 0, true.shape)


def prevalence(split: Split, group: Modality) -> np.ndarray:
    """Returns the fraction of positives of each attribute among observed values, `[member]`.

    Args:
        split: The examples.
        group: The attributes, a group or a vector.
    """
    there, known = 0, 0
    for batch in split.only([group.name]).dataset.batch(500):
        x, mask = unpack(batch, [group])
        positive = x[group.name].numpy() > 0.5
        counts = known_members(mask[group.name], positive)
        there, known = there + (positive & counts).sum(0), known + counts.sum(0)
    return there / np.maximum(known, 1)


@analysis(
    "attributes", "attributes predicted from images, next to a supervised classifier", trains=True
)
def analyze(run: Run, settings: Settings) -> dict[str, Any]:
    """Measures every group of attributes given every single modality; the `attributes` analysis.

    The model is compared with a supervised classifier: the modality's own encoder with a linear
    layer on top, trained on the same incomplete examples. The thresholds of both are chosen on the
    validation split.

    Raises:
        UserError: The model has no group of attributes, or no single modality.
    """
    groups = attribute_groups(run.model.targets)
    singles = [m for m in run.model.modalities if not m.mask_shape and not m.element_mask]
    if not groups or not singles:
        raise UserError(
            "--analysis=attributes needs a model of a group of attributes and a modality to "
            "predict them from, as --experiment=celeba19; choose another --analysis"
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
    """Predicts attributes of all examples.

    Args:
        predictor: The predictor of probabilities, `[batch, member]`.
        batches: Batches of `{"x": ..., "mask": ...}`.
        model: The model, for its modalities.
        given: The modality that attributes are predicted from.
        group: The attributes, a group or a vector.

    Returns:
        Probabilities; whether the attribute is positive; and whether it counts, because it and the
        given modality are observed: `[example, member]` each.
    """
    parts = []
    for place, batch in enumerate(batches):
        x, mask = unpack(batch, model.batch_inputs)
        true, there = x[group.name].numpy() > 0.5, mask[given.name].numpy()[:, np.newaxis] > 0
        probabilities = predictor(x[given.name], mask[given.name], place)
        parts.append((probabilities, true, there & known_members(mask[group.name], true)))
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def _reader(model: BaseVAE, group: ModalityGroup, given: Modality, settings: Settings) -> Predictor:
    """Returns the model's predictor of attributes given one modality."""

    @tf.function(autograph=False, reduce_retracing=True)
    def predict(value, mask, seed):
        number, there = settings.num_samples, {given.name: mask}
        return mean_prediction(model, group.name, {given.name: value}, number, seed, there)

    stream = tf.constant([settings.seed, _STREAM])
    return lambda value, mask, place: predict(value, mask, random.fold_in(stream, place)).numpy()


def attribute_classifier(
    run: Run, split: Split, group: Modality, given: Modality, settings: Settings
) -> keras.Model:
    """Loads the supervised classifier from the run directory, or trains and saves it.

    Args:
        run: The run.
        split: The training examples.
        group: The attributes, a group or a vector.
        given: The modality that they are predicted from.
        settings: The settings of the evaluation; the classifier takes `baseline_steps` steps.

    Returns:
        A network from prepared data to the parameters of the group's likelihood.
    """
    return kept_supervised(run, settings, given, group, lambda: reader(given, group), lambda: split)


def network_predictor(network: keras.Model, given: Modality, group: Modality) -> Predictor:
    """Returns a predictor of attributes that runs a network of `attribute_classifier`.

    Args:
        network: The network.
        given: The modality that attributes are predicted from.
        group: The attributes.
    """

    @tf.function(autograph=False, reduce_retracing=True)
    def predict(value, mask):
        parameters = network(given.prepare(value, mask), training=False)
        return group.likelihood.expected_value(parameters)

    return lambda value, mask, _: predict(value, mask).numpy()


def _balanced(right_positives: np.ndarray, right_negatives: np.ndarray) -> dict[str, Any]:
    """Returns balanced accuracy, from whether each positive and each negative is right."""
    parts = [share(part.sum(), len(part)) for part in (right_positives, right_negatives)]
    return {
        "value": sum(part["value"] for part in parts) / 2,
        "standard_error": math.hypot(*(part["standard_error"] for part in parts)) / 2,
        "examples": sum(part["examples"] for part in parts),
    }


def mean_over_attributes(
    parts: Sequence[tuple[np.ndarray, np.ndarray]], draws: int = 1
) -> dict[str, Any] | None:
    """Returns the mean accuracy over attributes, None if there is no attribute.

    An attribute's accuracy is the mean over `parts` of the fraction that is right: one part for
    accuracy, the positives and the negatives for balanced accuracy. Attributes without an example
    in some part are excluded. The standard error is a jackknife over examples, because the
    attributes of one example are not independent.

    Args:
        parts: Whether a prediction is right, and whether it counts, `[example * draws, member]`
            each.
        draws: Predictions of each example, next to each other.

    Returns:
        `value`, `standard_error` and `examples`.
    """
    whole = np.all([counts.any(axis=0) for _, counts in parts], axis=0)
    if not whole.any():
        return None
    # Right and counted predictions of each part in turn, [example, 2 * part, member].
    sums = np.stack([a[:, whole] for right, counts in parts for a in (right & counts, counts)], 1)
    shape = sums.shape[1:]
    sums = sums.reshape(-1, draws, *shape).sum(axis=1)  # of each example

    def mean(totals: np.ndarray) -> np.ndarray:
        totals = totals.reshape(*totals.shape[:-1], *shape)
        right, number = totals[..., ::2, :], totals[..., 1::2, :]
        accuracy = (right / np.maximum(number, 1)).mean(axis=-2)
        # Without one example an attribute may have none in some part: it is excluded then, too.
        has = (number > 0).all(axis=-2)
        with np.errstate(invalid="ignore"):
            return (accuracy * has).sum(axis=-1) / has.sum(axis=-1)

    pictures = sums[:, 1::2].any(axis=(1, 2))
    rows = sums[pictures].reshape(pictures.sum(), -1).astype(float)
    value, error = ratio_and_error(mean, rows)
    return {"value": value, "standard_error": error, "examples": int(pictures.sum())}
