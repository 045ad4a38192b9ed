"""Imputes missing values of examples, with their uncertainty.

    p(x_missing | x_observed) = E_{z ~ q(z | x_observed)} [ p(x_missing | z) ]

from samples of z, and one of x for each. If the model has a sampler, its density `p(z | S)` stands
for `q(z | S)`. With importance weights the samples of z are drawn again
in proportion to `p(x_observed | z) p(z) / q(z | x_observed)`, which corrects the approximate
posterior (sampling importance resampling: Rubin, 1987; of VAEs Mattei and Frellsen, ICML 2019).
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.distributions import elements
from tf_mvae.distributions.likelihoods import Likelihood
from tf_mvae.errors import UserError
from tf_mvae.inference.imputation_draws import (
    BLOCK_ROWS,
    block_seed,
    complete_sequence,
    draw_latents,
    draw_parts,
)
from tf_mvae.inference.imputation_quantiles import sample_quantiles
from tf_mvae.modality import Modality
from tf_mvae.ops.tokens import END, GAP, PAD

if TYPE_CHECKING:
    from tf_mvae.inference.generative import GenerativeModel

__all__ = ["Imputation", "impute_arrays"]


class Imputation(NamedTuple):
    """The estimates of one modality. Except in `filled`, observed entries have estimates as well.

    Attributes:
        filled: The data with estimates in the gaps, `[batch, *event_shape]`: the mean, or the most
            probable class; of a sequence the symbols that `TokenSequences.completion` puts there.
        missing: True where a value was filled in, bool, the same shape.
        mean: The estimates of all entries, the same shape; of a sequence the filled one.
        standard_deviation: Standard deviations of numbers, the same shape; NaN for classes and
            sequences.
        quantiles: By probability, the same shape; of numbers those of the samples
            (`tf_mvae.inference.imputation_quantiles`), of classes in the order of their numbers,
            NaN where these have none, and for sequences.
        probabilities: Probabilities of classes, by the place of the class among the entries,
            `[batch, classes]`; 0 is that of a class modality.
    """

    filled: np.ndarray
    missing: np.ndarray
    mean: np.ndarray
    standard_deviation: np.ndarray
    quantiles: dict[float, np.ndarray]
    probabilities: dict[int, np.ndarray]


def impute_arrays(
    model: "GenerativeModel",
    x: Mapping[str, tf.Tensor],
    mask: Mapping[str, tf.Tensor],
    num_samples: int,
    quantiles: Sequence[float],
    seed: tf.Tensor,
    importance: bool,
    latents: str | None = None,
    first_row: int = 0,
) -> dict[str, Imputation]:
    """Returns an `Imputation` for each modality that the model generates, by name.

    Args:
        model: The model.
        x: Data as `tf_mvae.batch.unpack` returns them.
        mask: Masks, likewise.
        num_samples: Samples of z per example.
        quantiles: Probabilities in (0, 1).
        seed: Two integers.
        importance: Whether samples of z are weighed.
        latents: See `GenerativeModel.generate`.
        first_row: The place of the first example in the table that these are a part of, a
            multiple of `BLOCK_ROWS`: samples do not depend on the parts that a table comes in.

    Raises:
        UserError: A quantile is not in (0, 1).
    """
    for probability in quantiles:
        if not 0 < checks.fraction("quantiles", probability) < 1:
            raise UserError(f"quantiles are above 0 and below 1; one is {probability!r}")
    rows = next(iter(x.values())).shape[0]
    found: dict[str, list[Imputation]] = {modality.name: [] for modality in model.targets}
    for start in range(0, rows, BLOCK_ROWS):
        part, there = ({n: v[start : start + BLOCK_ROWS] for n, v in a.items()} for a in (x, mask))
        own = block_seed(seed, first_row + start)
        how = num_samples, own, importance, latents
        z = _latents(model, part, there, *how)
        for modality in model.targets:
            value, observed = _observed(modality, part, there, z.shape[1])
            if modality.likelihood.is_sequence:
                filled = _completed(model, modality, z, part, value, observed)
                summaries = [_of_sequence(filled, quantiles)]
            else:
                summaries = _summaries(model, modality, z, part, own, quantiles)
            found[modality.name].append(_joined(summaries, quantiles, value, observed))
    return {name: _stacked(parts) for name, parts in found.items()}


def _latents(
    model: "GenerativeModel",
    x: Mapping[str, tf.Tensor],
    mask: Mapping[str, tf.Tensor],
    number: int,
    seed: tf.Tensor,
    importance: bool,
    latents: str | None,
) -> tf.Tensor:
    """See `draw_latents`; compiled once."""

    def draw(x, mask, seed):
        return draw_latents(model, x, mask, number, seed, importance, latents)

    name = ("impute", number, importance, model._latents_way(latents))
    return model._eager_calls(name, draw, dict(x), dict(mask), seed)


def _summaries(
    model: "GenerativeModel",
    modality: Modality,
    z: tf.Tensor,
    x: Mapping[str, tf.Tensor],
    seed: tf.Tensor,
    quantiles: Sequence[float],
) -> list[dict[str, Any]]:
    """Returns the summary of each part of a modality's likelihood."""

    def evaluate(z, x, seed):
        return draw_parts(model, modality, z, x, seed)

    conditions = {name: x[name] for name in model.given_to_decoders if name in x}
    results = model._eager_calls(
        ("imputed", modality.name), evaluate, z, conditions, seed, free_axes=2
    )
    likelihoods = [part for part, _ in modality.likelihood.independent_parts()]
    return [
        _summary(part, np.asarray(expected), np.asarray(sample), quantiles)
        for part, (expected, sample) in zip(likelihoods, results, strict=True)
    ]


def _completed(
    model: "GenerativeModel",
    modality: Modality,
    z: tf.Tensor,
    x: Mapping[str, tf.Tensor],
    value: np.ndarray,
    observed: np.ndarray,
) -> np.ndarray:
    """Returns sequences without gaps, `[batch, length]`; see `complete_sequence`."""
    shape = [z.shape[0], None, z.shape[2]]  # a mixture has a static number of samples

    def evaluate(z, x, tokens):
        return complete_sequence(model, modality, tf.ensure_shape(z, shape), x, tokens)

    conditions = {name: x[name] for name in model.given_to_decoders if name in x}
    tokens = tf.constant(np.where(observed, value, GAP), tf.int32)
    name = ("completed", modality.name, z.shape[0])
    return np.asarray(model._eager_calls(name, evaluate, z, conditions, tokens, free_axes=2))


def _of_sequence(filled: np.ndarray, quantiles: Sequence[float]) -> dict[str, Any]:
    """Returns the summary of sequences, `[batch, length]`."""
    none = np.full(filled.shape, np.nan, np.float32)
    return {
        "mean": filled,
        "deviation": none,
        "quantiles": [none for _ in quantiles],
        "probabilities": None,
    }


def _summary(
    part: Likelihood, expected: np.ndarray, sample: np.ndarray, quantiles: Sequence[float]
) -> dict[str, Any]:
    """Returns estimates, deviations and quantiles of one part, `[batch, ...]`."""
    if part.is_categorical:
        below = expected.cumsum(-1)[..., :-1]
        return {
            "mean": expected.argmax(-1).astype(np.float32),
            "deviation": np.full(expected.shape[:-1], np.nan, np.float32),
            "quantiles": [(below < q).sum(-1).astype(np.float32) for q in quantiles],
            "probabilities": expected,
        }
    if part.is_binary:
        return {
            "mean": expected,
            "deviation": np.sqrt(expected * (1 - expected)),
            "quantiles": [(1 - expected < q).astype(np.float32) for q in quantiles],
            "probabilities": None,
        }
    return {
        "mean": expected,
        "deviation": sample.std(axis=0),
        "quantiles": list(sample_quantiles(sample, quantiles, part.is_count)),
        "probabilities": None,
    }


def _observed(
    modality: Modality, x: Mapping[str, tf.Tensor], mask: Mapping[str, tf.Tensor], rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns prepared data and where they are observed, `[batch, *event_shape]`."""
    shape = (rows, *modality.likelihood.event_shape)
    if modality.name not in x:
        return np.zeros(shape, modality.likelihood.dtype.as_numpy_dtype), np.zeros(shape, bool)
    there = mask[modality.name].numpy()
    value = modality.prepare(x[modality.name], mask[modality.name]).numpy()
    if modality.likelihood.is_sequence:  # shorter ones are padded
        value = np.pad(value, [(0, 0), (0, shape[1] - value.shape[1])], constant_values=PAD)
    observed = np.broadcast_to(there.reshape(there.shape + (1,) * (value.ndim - there.ndim)), shape)
    if modality.element_mask:
        known = elements.observed(tf.constant(value)).numpy()
        if modality.likelihood.is_sequence:  # padding behind a known end is no gap
            known |= (value == PAD) & (value == END).any(axis=-1, keepdims=True)
        observed = observed * known
    return value, observed > 0


def _joined(
    summaries: list[dict[str, Any]],
    quantiles: Sequence[float],
    value: np.ndarray,
    observed: np.ndarray,
) -> Imputation:
    """Puts the parts of a modality side by side, along the last axis; a group keeps its members."""

    def columns(part: np.ndarray) -> np.ndarray:
        # A part of a single column has no axis for it.
        return part if part.ndim == value.ndim else part[..., np.newaxis]

    def join(arrays: list[np.ndarray]) -> np.ndarray:
        if len(arrays) == 1:
            return arrays[0].reshape(value.shape)
        return np.concatenate([columns(part) for part in arrays], axis=-1)

    mean = join([s["mean"] for s in summaries])
    bounds = {q: join([s["quantiles"][i] for s in summaries]) for i, q in enumerate(quantiles)}
    probabilities, place = {}, 0
    for summary in summaries:
        if summary["probabilities"] is not None:
            probabilities[place] = summary["probabilities"]
        place += columns(summary["mean"]).shape[-1]
    filled = np.where(observed, value, mean.astype(value.dtype))
    deviation = join([s["deviation"] for s in summaries])
    return Imputation(filled, ~observed, mean, deviation, bounds, probabilities)


def _stacked(parts: list[Imputation]) -> Imputation:
    """Returns the parts of a data set one below the other."""
    if not parts:
        raise UserError("the data set is empty: its arrays have no rows")
    first = parts[0]
    joined = [np.concatenate([getattr(p, name) for p in parts]) for name in Imputation._fields[:4]]
    maps = (
        {
            key: np.concatenate([getattr(p, name)[key] for p in parts])
            for key in getattr(first, name)
        }
        for name in Imputation._fields[4:]
    )
    return Imputation(*joined, *maps)  # type: ignore[arg-type]
