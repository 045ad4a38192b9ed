"""How well attributes are read off an image, beside a supervised classifier."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mvae.data import contract
from tf_mvae.data.pipeline import Split
from tf_mvae.distributions.likelihoods import Bernoulli
from tf_mvae.errors import UserError
from tf_mvae.evaluation.accuracy import share
from tf_mvae.evaluation.kept import kept_network
from tf_mvae.evaluation.settings import Settings
from tf_mvae.evaluation.supervised import train_reader
from tf_mvae.group import ModalityGroup
from tf_mvae.modality import Modality
from tf_mvae.models import MultimodalVAE
from tf_mvae.ops import random

__all__ = ["analyze", "attribute_results", "prevalence"]

_STREAM = 43

# From given data `[batch, ...]`, their mask and the batch's place to probabilities.
Predictor = Callable[[tf.Tensor, tf.Tensor, int], np.ndarray]


def attribute_results(
    predictor: Predictor,
    batches: Iterable[Any],
    model: MultimodalVAE,
    given: Modality,
    group: ModalityGroup,
    rates: np.ndarray,
) -> dict[str, dict[str, Any]]:
    """Measures predicted attributes.

    Accuracy takes an attribute for there from a probability of a half. Balanced accuracy, the
    mean of the shares of its haves and its have-nots that are named right, takes it for there
    if it is more probable than it is frequent in training, which is best for calibrated
    probabilities: a rare attribute's seldom reach a half.

    Args:
        predictor: What predicts them, `[batch, member]`.
        batches: Batches of `{"x": ..., "mask": ...}`.
        model: The model, for its modalities.
        given: What is given.
        group: The attributes.
        rates: How frequent each is in training, `[member]`.

    Returns:
        `"MEMBER, accuracy"` and `"MEMBER, balanced accuracy"` to `value`, `standard_error` and
        `examples`; the latter only where some have it and some do not; and the means over
        attributes, under `"mean"`.
    """
    parts = []
    for place, batch in enumerate(batches):
        x, mask = contract.unpack(batch, model.modalities)
        counts = (mask[group.name] * mask[given.name][:, tf.newaxis]).numpy() > 0
        probabilities = predictor(x[given.name], mask[given.name], place)
        parts.append((probabilities, x[group.name].numpy() > 0.5, counts))
    probabilities, true, counts = (np.concatenate(part) for part in zip(*parts, strict=True))
    found: dict[str, dict[str, Any]] = {}
    for column, name in enumerate(group.members):
        rows = counts[:, column]
        p, has = probabilities[rows, column], true[rows, column]
        if not len(p):
            continue
        found[f"{name}, accuracy"] = share(((p > 0.5) == has).sum(), len(p))
        if 0 < has.sum() < len(p):
            right = (p > rates[column]) == has
            found[f"{name}, balanced accuracy"] = _balanced(right[has], right[~has])
    for metric in ("accuracy", "balanced accuracy"):
        rows = [result for name, result in found.items() if name.endswith(f", {metric}")]
        if rows:
            found[f"mean, {metric}"] = _mean(rows)
    return found


def prevalence(split: Split, group: ModalityGroup) -> np.ndarray:
    """Returns how often each attribute is there, of the examples that say, `[member]`."""
    there, known = np.zeros(group.size), np.zeros(group.size)
    for batch in split.only([group.name]).dataset.batch(500):
        x, mask = contract.unpack(batch, [group])
        there += tf.reduce_sum(tf.cast(x[group.name], tf.float32) * mask[group.name], 0).numpy()
        known += tf.reduce_sum(mask[group.name], 0).numpy()
    return there / np.maximum(known, 1)


def analyze(run: Any, settings: Settings) -> dict[str, Any]:
    """Measures every group of attributes given every single modality; the `attributes` analysis.

    Beside the model stands a classifier that is trained for this alone: the modality's own
    encoder with a linear layer on top, on the same incomplete examples.

    Raises:
        UserError: The model has no group of attributes and something to read them off.
    """
    groups = [
        m
        for m in run.model.targets
        if isinstance(m, ModalityGroup)
        and isinstance(m.likelihood.member, Bernoulli)
        and not m.likelihood.member.event_shape
    ]
    pairs = [(g, m) for g in groups for m in run.model.modalities if not m.mask_shape]
    if not pairs:
        raise UserError(
            "--analysis=attributes needs a model of a group of attributes and something to read "
            "them off, as --experiment=celeba19; leave it out"
        )
    steps = settings.baseline_steps
    steps = run.checkpoint_step if steps is None else steps
    seen = run.seen_split("train")
    results = {}
    for group, given in pairs:
        predictors = {"model": _reader(run.model, group, given, settings)}
        if steps:
            predictors["supervised"] = _supervised(run, seen, group, given, settings, steps)
        rates = prevalence(seen, group)
        for method, predictor in predictors.items():
            batches, total = settings.batches(run)
            batches = settings.progress(batches, desc=f"attributes, {method}", total=total)
            found = attribute_results(predictor, batches, run.model, given, group, rates)
            results |= {
                f"{name} | {given.name}: {method}": {**result, "method": method}
                for name, result in found.items()
            }
    return results


def _reader(
    model: MultimodalVAE, group: ModalityGroup, given: Modality, settings: Settings
) -> Predictor:
    @tf.function(autograph=False, reduce_retracing=True)
    def predict(value, mask, seed):
        chosen = {given.name: value}
        z = model.latent_samples(chosen, settings.num_samples, {given.name: mask}, seed)
        return tf.reduce_mean(model.from_latent(z, None, [group.name], chosen)[group.name], axis=0)

    stream = tf.constant([settings.seed, _STREAM])
    return lambda value, mask, place: predict(value, mask, random.fold_in(stream, place)).numpy()


def _supervised(
    run: Any, split: Split, group: ModalityGroup, given: Modality, settings: Settings, steps: int
) -> Predictor:
    name = f"supervised_{given.name}_{group.name}_steps{steps}_seed{settings.seed}.keras"
    network = kept_network(
        run.directory / "evaluation" / name,
        given.likelihood.event_shape,
        group.likelihood.parameter_shape,
        lambda: train_reader(
            given,
            group,
            split,
            steps,
            run.config.batch_size,
            run.config.shuffle_buffer,
            settings.seed,
            settings.progress,
        ),
    )

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


def _mean(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Averages attributes; the error is that of independent ones."""
    return {
        "value": sum(result["value"] for result in results) / len(results),
        "standard_error": math.hypot(*(r["standard_error"] for r in results)) / len(results),
        "examples": max(result["examples"] for result in results),
    }
