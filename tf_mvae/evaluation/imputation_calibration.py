"""Calibration of imputations: coverage of intervals, PIT, probabilities of classes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tf_mvae.data.tables import Table
from tf_mvae.evaluation.statistics import share

__all__ = [
    "LEVELS",
    "PROBABILITIES",
    "central_ends",
    "central_fraction",
    "class_calibration",
    "coverage_curve",
    "coverages",
    "transform_histogram",
]

LEVELS = (0.5, 0.8, 0.9)
_STEPS, _FINE = 20, 4
# Quantiles to impute. They include the ends of the central intervals of 5, 10, ... and 95 %.
PROBABILITIES = tuple(round(k / (_FINE * _STEPS), 4) for k in range(1, _FINE * _STEPS))

Results = dict[str, dict[str, Any]]


def coverages(name: str, table: Table, taken: Any, found: Any) -> Results:
    """Returns the fractions of held-out numbers inside their central 50, 80 and 90 % intervals.

    Args:
        name: The method, for the results' names.
        table: The table with all observed cells.
        taken: A bool data frame, true for held-out cells.
        found: An `ImputedTable` with the quantiles of `PROBABILITIES`.
    """
    results = {}
    for level in LEVELS:
        inside, number = _inside(level, table, taken, found)
        if number:
            results[f"numbers inside the {level:.0%} interval, {name}"] = share(inside, number)
    return results


def coverage_curve(name: str, table: Table, taken: Any, found: Any) -> Results:
    """Returns the mean absolute difference between intervals' levels and their coverage.

    The result also has the `levels`, 5 to 95 %, and the `coverage` of each. See `coverages` for the
    arguments.
    """
    levels = [round(place / _STEPS, 3) for place in range(1, _STEPS)]
    counts = [_inside(level, table, taken, found) for level in levels]
    if not counts[0][1]:
        return {}
    coverage = [inside / number for inside, number in counts]
    error = float(np.mean(np.abs(np.subtract(coverage, levels))))
    entry = _entry(error, counts[0][1], levels=levels, coverage=coverage)
    return {f"coverage error, {name}": entry}


def transform_histogram(name: str, table: Table, taken: Any, found: Any, seed: int) -> Results:
    """Returns the distance of the probability integral transform (PIT) from uniform.

    For a calibrated model `u = P(X < x) + v P(X = x)` with uniform v is uniform (Czado, Gneiting
    and Held, Biometrics 2009); here it is computed from quantiles. The value is the total variation
    distance, and `histogram` has the fraction of u in each twentieth of [0, 1]. A maximum in the
    middle means that intervals are too wide, a minimum that they are too narrow.

    Args:
        name: The method, for the results' names.
        table: The table with all observed cells.
        taken: A bool data frame, true for held-out cells.
        found: An `ImputedTable` with the quantiles of `PROBABILITIES`.
        seed: The seed of v.
    """
    rng = np.random.default_rng([seed, 31])
    bins = [np.zeros([0], int)]
    for truth, quantiles in _numbers(table, taken, found):
        # P(X < x) and P(X <= x), in steps of 1 / 80: halfway between two of the probabilities.
        below, reached = (quantiles < truth).sum(0) + 0.5, (quantiles <= truth).sum(0) + 0.5
        bins.append((rng.uniform(below, reached) / _FINE).astype(int))
    bins = np.concatenate(bins)
    if not len(bins):
        return {}
    histogram = np.bincount(bins, minlength=_STEPS) / len(bins)
    distance = float(np.abs(histogram - 1 / _STEPS).sum() / 2)
    entry = _entry(distance, len(bins), histogram=histogram.tolist())
    return {f"distance of the PIT from uniform, {name}": entry}


def central_ends(level: float) -> tuple[float, float]:
    """Returns the probabilities of the two ends of a central interval: .05 and .95 for .9."""
    return round((1 - level) / 2, 4), round((1 + level) / 2, 4)


def central_fraction(histogram: Sequence[float], level: float) -> float:
    """Returns the fraction of the PIT in the central interval of a level, such as 0.9.

    It is the level if the model is calibrated, for numbers of any type. The coverage of closed
    intervals is not: an interval of counts has whole numbers as ends, and contains more than its
    level (all observed zeros, for example, if it begins at 0).

    Args:
        histogram: Fractions in equal bins of [0, 1], as `transform_histogram` returns them; an end
            of the interval has to be an end of a bin.
        level: The level.
    """
    outside = round(central_ends(level)[0] * len(histogram))
    return float(sum(histogram[outside : len(histogram) - outside]))


def class_calibration(table: Table, taken: Any, probabilities: Mapping[Any, Any]) -> Results:
    """Returns the expected calibration error of classes, over ten bins of confidence.

        sum_b n_b / n |accuracy_b - confidence_b|

    (Guo et al., ICML 2017.) Confidence is the largest probability of a cell. The result also has
    the mean `confidence`, the `accuracy` and the `number` of cells of each bin that is not empty.

    Args:
        table: The table with all observed cells.
        taken: A bool data frame, true for held-out cells.
        probabilities: By column, a data frame with one column per class.
    """
    confidence, right = [np.zeros([0])], [np.zeros([0], bool)]
    for name, chances in probabilities.items():
        chosen = taken[name].to_numpy()
        values = chances.to_numpy()[chosen]
        truth = table.schema.columns[name].encode(table.frame[name])[chosen]
        confidence.append(values.max(axis=1))
        right.append(values.argmax(axis=1) == truth)
    confidence, right = np.concatenate(confidence), np.concatenate(right)
    if not len(right):
        return {}
    bins = np.minimum((confidence * 10).astype(int), 9)
    members = [bins == place for place in np.unique(bins)]
    gaps = [abs(float((confidence[own] - right[own]).sum())) for own in members]
    entry = _entry(
        sum(gaps) / len(right),
        len(right),
        confidence=[float(confidence[own].mean()) for own in members],
        accuracy=[float(right[own].mean()) for own in members],
        number=[int(own.sum()) for own in members],
    )
    return {"calibration error of classes, model": entry}


def _entry(value: float, examples: int, **more: Any) -> dict[str, Any]:
    """Returns a result without a standard error."""
    return {"value": value, "standard_error": float("nan"), "examples": examples, **more}


def _inside(level: float, table: Table, taken: Any, found: Any) -> tuple[int, int]:
    """Returns the number of held-out numbers inside the central interval, and their total."""
    low, high = map(PROBABILITIES.index, central_ends(level))
    inside = number = 0
    for truth, quantiles in _numbers(table, taken, found):
        inside += int(((truth >= quantiles[low]) & (truth <= quantiles[high])).sum())
        number += len(truth)
    return inside, number


def _numbers(table: Table, taken: Any, found: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields held-out numbers `[n]` and their quantiles `[probability, n]`, column by column."""
    for column in table.schema.columns.values():
        chosen = taken[column.name].to_numpy()
        if column.is_class or column.event is not None or not chosen.any():
            continue  # whether a censored time is inside an interval is not known
        frames = (found.quantiles[p] for p in PROBABILITIES)
        quantiles = [np.asarray(f[column.name].to_numpy()[chosen], np.float64) for f in frames]
        yield (
            np.asarray(table.frame[column.name].to_numpy()[chosen], np.float64),
            np.stack(quantiles),
        )
