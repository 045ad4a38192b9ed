"""Imputation as a graph: fills missing elements, and returns the spread of what was filled in."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mvae.distributions import elements
from tf_mvae.distributions.likelihoods import Likelihood
from tf_mvae.distributions.tfp import sample_quantiles
from tf_mvae.errors import UserError
from tf_mvae.inference.imputation_draws import (
    block_seed,
    draw_parts,
    latent_seeds,
)
from tf_mvae.modality import Modality
from tf_mvae.models import BaseVAE
from tf_mvae.serving.parts import Parts

__all__ = [
    "NUM_QUANTILES",
    "can_impute",
    "describe_imputed",
    "impute",
    "quantiles_name",
    "quantiles_spec",
]

NUM_QUANTILES = 3
# An output's name is one of these prefixes and the modality's name, so names are unique.
_MEANINGS = {
    "filled_": "The {name}: observed values, and the mean for missing ones (for a class: the most "
    "probable class).",
    "standard_deviation_": "Standard deviation of the {name} given the observed values; NaN for "
    "classes.",
    "quantiles_": "Quantiles of the {name} given the observed values.",
    "probabilities_": "Probability of each class of {name}.",
}


def can_impute(model: BaseVAE) -> bool:
    """Returns whether a model has no sequences, and all its likelihoods can be sampled."""

    def draw():
        found = []
        for modality in model.targets:
            parameters = tf.zeros([1, *modality.likelihood.parameter_shape])
            for part, own in modality.likelihood.independent_parts(parameters):
                if not (part.is_categorical or part.is_binary):
                    found.append(part.distribution(own).sample(seed=tf.constant([0, 0])))
        return found

    if any(modality.likelihood.is_sequence for modality in model.targets):
        return False  # only `model.impute` fills sequences
    try:
        tf.function(draw, autograph=False).get_concrete_function()
    except (UserError, NotImplementedError):
        return False
    return True


def quantiles_name(model: BaseVAE) -> str:
    """Returns the name of the quantiles' input: `quantiles`, or `wanted_quantiles` if taken."""
    taken = [modality.name for modality in model.modalities]
    return "wanted_quantiles" if "quantiles" in taken else "quantiles"


def quantiles_spec(model: BaseVAE) -> tf.TensorSpec:
    """Returns the specification of the quantiles' input: float32, `[NUM_QUANTILES]`."""
    return tf.TensorSpec([NUM_QUANTILES], name=quantiles_name(model))


def impute(
    parts: Parts,
    x: Mapping[str, tf.Tensor],
    mask: Mapping[str, tf.Tensor],
    num_samples: tf.Tensor,
    quantiles: tf.Tensor,
    seed: tf.Tensor,
) -> dict[str, tf.Tensor]:
    """Fills missing values in; the graph version of `GenerativeModel.impute`.

        p(missing | observed) ~ (1 / K) sum_k p(missing | z_k),   z_k ~ q(z | observed)

    If the model has a sampler, z_k is sampled from it instead of the posterior.
    For up to `BLOCK_ROWS` examples its samples, and so its results, equal those of
    `GenerativeModel.impute` with the same seed.

    Args:
        parts: The model's networks.
        x: All modalities by name, as `tf_mvae.batch.unpack` returns them.
        mask: Their masks, as `tf_mvae.batch.unpack` returns them.
        num_samples: K, the samples of the latent per example, an int32 scalar of at least 1.
        quantiles: Probabilities in (0, 1), `[NUM_QUANTILES]`.
        seed: Two integers.

    Returns:
        For each modality that the model generates:

        - `filled_NAME` `[batch, *event_shape]`: prepared observed values, and the mean for missing
          ones (for a class: the most probable class).
        - `standard_deviation_NAME` `[batch, *event_shape]`, unless the modality is a class; NaN for
          the columns of classes in a table.
        - `quantiles_NAME` `[batch, NUM_QUANTILES, *event_shape]`.
        - `probabilities_NAME` `[batch, classes]` for a class, and `probabilities_PLACE_NAME` for
          the column of classes at a place (from 0 on) of a table.

    Raises:
        tf.errors.InvalidArgumentError: `num_samples` is below 1, or a quantile is not in (0, 1).
    """
    checks = [
        tf.debugging.assert_positive(num_samples, "num_samples must be at least 1"),
        tf.debugging.Assert(
            tf.reduce_all((quantiles > 0) & (quantiles < 1)), ["quantiles must be in (0, 1)"]
        ),
    ]
    with tf.control_dependencies([check for check in checks if check is not None]):
        seed = block_seed(seed, 0)
    model = parts.model
    z = parts.conditional(x, mask).sample(num_samples, latent_seeds(seed)[0])
    z = tf.ensure_shape(z, [None, None, model.latent_dim])
    conditions = parts.conditions(x)
    found = {}
    for modality in model.targets:
        drawn = draw_parts(model, modality, z, conditions, seed)
        found |= _answers(modality, drawn, x[modality.name], mask[modality.name], quantiles)
    return found


def describe_imputed(key: str, bounds_of: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """Returns `low`, `high` and `meaning` of an output of `impute`.

    Args:
        key: The output's name.
        bounds_of: A function from a modality's name to `low` and `high` of its values.
    """
    prefix = next(prefix for prefix in _MEANINGS if key.startswith(prefix))
    name = key.removeprefix(prefix)
    # Names of modalities begin with a letter, so a digit is the place of a table's column.
    if prefix == "probabilities_" and name[0].isdigit():
        place, name = name.split("_", 1)
        return {
            "low": 0,
            "high": 1,
            "meaning": f"Probability of each class, column {place} of {name}.",
        }
    bounds = {
        "standard_deviation_": {"low": 0, "high": None},
        "probabilities_": {"low": 0, "high": 1},
    }
    meaning = _MEANINGS[prefix].format(name=name)
    return {**bounds.get(prefix, bounds_of(name)), "meaning": meaning}


def _answers(
    modality: Modality,
    drawn: list[tuple[tf.Tensor, tf.Tensor]],
    value: tf.Tensor,
    mask: tf.Tensor,
    quantiles: tf.Tensor,
) -> dict[str, tf.Tensor]:
    """Returns the outputs of one modality.

    A table's likelihood has one part per kind of column; each is summarised, and the summaries are
    concatenated along the columns.
    """
    name, likelihood = modality.name, modality.likelihood
    parts = [part for part, _ in likelihood.independent_parts()]
    summaries = [_summary(p, *pair, quantiles) for p, pair in zip(parts, drawn, strict=True)]
    means, deviations, bounds, probabilities = zip(*summaries, strict=True)
    prepared = modality.prepare(value, mask)
    # What is observed, [batch, 1, ...]: the mask gets the data's trailing axes.
    there = tf.reshape(mask > 0, tf.concat([tf.shape(mask), [1] * _inner(prepared, mask)], 0))
    if modality.element_mask:
        there = elements.observed(prepared)
    shape = [None, *likelihood.event_shape]
    mean = tf.cast(_joined(parts, means), prepared.dtype)
    found = {f"filled_{name}": tf.ensure_shape(tf.where(there, prepared, mean), shape)}
    if not all(part.is_categorical for part in parts):
        deviation = _joined(parts, deviations)
        found[f"standard_deviation_{name}"] = tf.ensure_shape(deviation, shape)
    wanted = [None, NUM_QUANTILES, *likelihood.event_shape]
    found[f"quantiles_{name}"] = tf.ensure_shape(_joined(parts, bounds), wanted)
    place = 0
    for part, chances in zip(parts, probabilities, strict=True):
        if chances is not None:
            one = len(parts) == 1
            key = name if one else f"{place}_{name}"
            # A group's members come before the columns.
            each = likelihood.event_shape if one else likelihood.event_shape[:-1]
            shape = [None, *each, part.num_classes]
            found[f"probabilities_{key}"] = tf.ensure_shape(chances, shape)
        place += int(np.prod(part.event_shape, dtype=int))
    return found


def _inner(value: tf.Tensor, mask: tf.Tensor) -> int:
    """Returns the number of axes that data have after those of their mask."""
    return value.shape.rank - mask.shape.rank


def _summary(
    part: Likelihood, expected: tf.Tensor, sample: tf.Tensor, quantiles: tf.Tensor
) -> tuple[Any, Any, Any, Any]:
    """Summarises the predictive distribution of one part of a likelihood.

    Args:
        part: The part.
        expected: Its expected value over all samples, `[batch, ...]`; of a class probabilities.
        sample: Samples of it, `[sample, batch, ...]`.
        quantiles: Probabilities, `[quantile]`.

    Returns:
        Means `[batch, ...]`, standard deviations `[batch, ...]`, quantiles `[batch, quantile,
        ...]`, and the probabilities of classes `[batch, ..., class]`, or None if it is not a class.
    """
    if part.is_categorical:
        # The q-quantile of a class is the first index whose cumulative probability reaches q.
        below = tf.cumsum(expected, axis=-1)[..., :-1]
        bounds = [tf.reduce_sum(tf.cast(below < q, tf.float32), -1) for q in _each(quantiles)]
        mean = tf.cast(tf.argmax(expected, -1), tf.float32)
        return mean, tf.fill(tf.shape(mean), np.float32(np.nan)), tf.stack(bounds, 1), expected
    if part.is_binary:
        # Exact for a Bernoulli variable: 0 up to q = 1 - p, then 1; variance p (1 - p).
        bounds = [tf.cast(1 - expected < q, tf.float32) for q in _each(quantiles)]
        return expected, tf.sqrt(expected * (1 - expected)), tf.stack(bounds, 1), None
    # [quantile, batch, ...]
    bounds = sample_quantiles(sample, quantiles, are_counts=part.is_count)
    axes = [1, 0, *range(2, bounds.shape.rank)]
    return expected, tf.math.reduce_std(sample, 0), tf.transpose(bounds, axes), None


def _each(quantiles: tf.Tensor) -> list[tf.Tensor]:
    """Returns the quantiles as scalars."""
    return tf.unstack(quantiles, num=NUM_QUANTILES)


def _joined(parts: Sequence[Likelihood], values: Sequence[tf.Tensor]) -> tf.Tensor:
    """Concatenates the parts of a modality along its columns; single columns get an axis first."""
    if len(parts) == 1:
        return values[0]
    pairs = zip(parts, values, strict=True)
    return tf.concat([v if part.event_shape else v[..., tf.newaxis] for part, v in pairs], -1)
