"""Missing elements filled inside a graph, with what is known about how sure that is."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tf_mvae.distributions.likelihoods import Likelihood
from tf_mvae.errors import UserError
from tf_mvae.modality import Modality
from tf_mvae.models import BaseVAE
from tf_mvae.models.imputation_draws import (
    block_seed,
    draw_parts,
    latent_seeds,
    refuse_sequences,
)
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
# An output's name is one of these and the modality's: no two outputs have the same.
_MEANINGS = {
    "filled_": "The {name}: what is observed, and the mean in the gaps; of a class the most "
    "probable one.",
    "standard_deviation_": "Standard deviation of the {name} given what is observed; NaN of "
    "classes.",
    "quantiles_": "Quantiles of the {name} given what is observed.",
    "probabilities_": "Probability of each class of {name}.",
}


def can_impute(model: BaseVAE) -> bool:
    """Returns whether a model's likelihoods can be sampled and are not sequences of symbols."""

    def draw():
        found = []
        for modality in model.targets:
            parameters = tf.zeros([1, *modality.likelihood.parameter_shape])
            for part, own in modality.likelihood.independent_parts(parameters):
                if not (part.is_categorical or part.is_binary):
                    found.append(part.distribution(own).sample(seed=tf.constant([0, 0])))
        return found

    try:
        refuse_sequences(model)
        tf.function(draw, autograph=False).get_concrete_function()
    except (UserError, NotImplementedError):
        return False
    return True


def quantiles_name(model: BaseVAE) -> str:
    """Returns the name of the input of probabilities: `quantiles`, if no modality has it."""
    taken = [modality.name for modality in model.modalities]
    return "wanted_quantiles" if "quantiles" in taken else "quantiles"


def quantiles_spec(model: BaseVAE) -> tf.TensorSpec:
    """Returns that input: float32, `[NUM_QUANTILES]`."""
    return tf.TensorSpec([NUM_QUANTILES], name=quantiles_name(model))


def impute(
    parts: Parts,
    x: Mapping[str, tf.Tensor],
    mask: Mapping[str, tf.Tensor],
    num_samples: tf.Tensor,
    quantiles: tf.Tensor,
    seed: tf.Tensor,
) -> dict[str, tf.Tensor]:
    """Fills what is missing; `GenerativeModel.impute` for a graph.

    For as many examples as `BLOCK_ROWS` or fewer the samples, and so the answers, are the same.

    Args:
        parts: The model's networks.
        x: All modalities by name, as `tf_mvae.batch.unpack` returns them.
        mask: Their masks, likewise.
        num_samples: Samples of the latent for each example, an int32 scalar of at least 1.
        quantiles: Probabilities in (0, 1), `[NUM_QUANTILES]`.
        seed: Two integers.

    Returns:
        Of each modality that the model generates, with `*event_shape` for its events:

        - `filled_NAME` `[batch, *event_shape]`: what is observed, prepared, and the mean in the
          gaps; of a class the most probable one.
        - `standard_deviation_NAME` `[batch, *event_shape]`, unless it is a class; NaN for the
          columns of classes in a table.
        - `quantiles_NAME` `[batch, NUM_QUANTILES, *event_shape]`.
        - `probabilities_NAME` `[batch, classes]` of a class, and `probabilities_PLACE_NAME` of
          the column at a place (from 0 on) of a table.
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
    """Returns `low`, `high` and `meaning` of an output.

    Args:
        key: Its name.
        bounds_of: From a modality's name to `low` and `high` of its values.
    """
    prefix = next(prefix for prefix in _MEANINGS if key.startswith(prefix))
    name = key.removeprefix(prefix)
    if prefix == "probabilities_" and name[0].isdigit():  # modalities' names begin with letters
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
    """Returns the outputs of one modality."""
    name, likelihood = modality.name, modality.likelihood
    parts = [part for part, _ in likelihood.independent_parts()]
    summaries = [_summary(p, *pair, quantiles) for p, pair in zip(parts, drawn, strict=True)]
    means, deviations, bounds, probabilities = zip(*summaries, strict=True)
    prepared = modality.prepare(value, mask)
    there = tf.reshape(mask > 0, tf.concat([tf.shape(mask), [1] * _inner(prepared, mask)], 0))
    if modality.element_mask:
        there = ~tf.math.is_nan(prepared)
    shape = [None, *likelihood.event_shape]
    mean = tf.cast(_joined(means, 1), prepared.dtype)
    found = {f"filled_{name}": tf.ensure_shape(tf.where(there, prepared, mean), shape)}
    if not all(part.is_categorical for part in parts):
        deviation = _joined(deviations, 1)
        found[f"standard_deviation_{name}"] = tf.ensure_shape(deviation, shape)
    wanted = [None, NUM_QUANTILES, *likelihood.event_shape]
    found[f"quantiles_{name}"] = tf.ensure_shape(_joined(bounds, 2), wanted)
    place = 0
    for part, chances in zip(parts, probabilities, strict=True):
        if chances is not None:
            one = len(parts) == 1
            key = name if one else f"{place}_{name}"
            shape = [None, *(likelihood.event_shape if one else ()), part.num_classes]
            found[f"probabilities_{key}"] = tf.ensure_shape(chances, shape)
        place += int(np.prod(part.event_shape, dtype=int))
    return found


def _inner(value: tf.Tensor, mask: tf.Tensor) -> int:
    """Returns how many axes data have behind those of their mask."""
    return value.shape.rank - mask.shape.rank


def _summary(
    part: Likelihood, expected: tf.Tensor, sample: tf.Tensor, quantiles: tf.Tensor
) -> tuple[Any, Any, Any, Any]:
    """Returns means, deviations, quantiles `[batch, quantile, ...]` and classes' probabilities."""
    if part.is_categorical:
        below = tf.cumsum(expected, axis=-1)[..., :-1]
        bounds = [tf.reduce_sum(tf.cast(below < q, tf.float32), -1) for q in _each(quantiles)]
        mean = tf.cast(tf.argmax(expected, -1), tf.float32)
        return mean, tf.fill(tf.shape(mean), np.float32(np.nan)), tf.stack(bounds, 1), expected
    if part.is_binary:
        bounds = [tf.cast(1 - expected < q, tf.float32) for q in _each(quantiles)]
        return expected, tf.sqrt(expected * (1 - expected)), tf.stack(bounds, 1), None
    bounds = tfp.stats.percentile(sample, 100 * quantiles, axis=0, interpolation="linear")
    axes = [1, 0, *range(2, bounds.shape.rank)]
    return expected, tf.math.reduce_std(sample, 0), tf.transpose(bounds, axes), None


def _each(quantiles: tf.Tensor) -> list[tf.Tensor]:
    return tf.unstack(quantiles, num=NUM_QUANTILES)


def _joined(values: tuple[tf.Tensor, ...], axis: int) -> tf.Tensor:
    """Puts the parts of a modality side by side; a part of one column has no axis for it."""
    if len(values) == 1:
        return values[0]
    return tf.concat([v if v.shape.rank > axis else v[..., tf.newaxis] for v in values], axis)
