"""How well a model knows how sure its imputations are: intervals, PIT, class probabilities."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tf_mvae.data.tables import Table
from tf_mvae.evaluation.statistics import share

__all__ = [
    "PROBABILITIES",
    "class_calibration",
    "coverage_curve",
    "coverages",
    "transform_histogram",
]

_INTERVALS = (0.5, 0.8, 0.9)
_STEPS, _FINE = 20, 4
# The ends of the central intervals of 5, 10, ... and 95 % are among them.
PROBABILITIES = tuple(round(k / (_FINE * _STEPS), 4) for k in range(1, _FINE * _STEPS))

Results = dict[str, dict[str, Any]]


def coverages(name: str, table: Table, taken: Any, found: Any) -> Results:
    """Returns the fractions of held-out numbers inside the intervals of 50, 80 and 90 %.

    Args:
        name: The method, for the results' names.
        table: What was observed.
        taken: A bool data frame, true at what was held out.
        found: An `ImputedTable` with the quantiles of `PROBABILITIES`.
    """
    results = {}
    for level in _INTERVALS:
        inside, number = _inside(level, table, taken, found)
        if number:
            results[f"numbers inside the {level:.0%} interval, {name}"] = share(inside, number)
    return results


def coverage_curve(name: str, table: Table, taken: Any, found: Any) -> Results:
    """Returns the mean difference between the levels of intervals and what is inside these.

    The result has the `levels`, 5 to 95 %, and the `coverage` of each; see `coverages` for the
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
    """Returns how far the probability integral transform is from uniform.

    `u = P(X < x) + v P(X = x)` with a uniform v is uniform for a calibrated model (Czado, Gneiting
    and Held, Biometrics 2009), here from quantiles. The value is the total
    variation distance; `histogram` has the fraction of each twentieth. A hump in the middle is of
    intervals that are too wide, a valley of ones that are too narrow. See `coverages` for the other
    arguments.

    Args:
        name: The method.
        table: What was observed.
        taken: True at what was held out.
        found: What was imputed.
        seed: Seed of v.
    """
    rng = np.random.default_rng([seed, 31])
    bins = [np.zeros([0], int)]
    for truth, quantiles in _numbers(table, taken, found):
        # P(X < x) and P(X <= x), each in the middle between two of the probabilities.
        below, reached = (quantiles < truth).sum(0) + 0.5, (quantiles <= truth).sum(0) + 0.5
        bins.append((rng.uniform(below, reached) / _FINE).astype(int))
    bins = np.concatenate(bins)
    if not len(bins):
        return {}
    histogram = np.bincount(bins, minlength=_STEPS) / len(bins)
    distance = float(np.abs(histogram - 1 / _STEPS).sum() / 2)
    entry = _entry(distance, len(bins), histogram=histogram.tolist())
    return {f"distance of the PIT from uniform, {name}": entry}


def class_calibration(table: Table, taken: Any, probabilities: Mapping[Any, Any]) -> Results:
    """Returns the expected calibration error of classes, over ten bins of confidence.

    (Guo et al., ICML 2017.) The result has the mean `confidence`, the `accuracy` and the `number`
    of the bins that hold something.

    Args:
        table: What was observed.
        taken: True at what was held out.
        probabilities: By column, a data frame with a column a class.
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
    return {"value": value, "standard_error": float("nan"), "examples": examples, **more}


def _inside(level: float, table: Table, taken: Any, found: Any) -> tuple[int, int]:
    """Returns how many held-out numbers are inside the central interval, and of how many."""
    low, high = (PROBABILITIES.index(round(p, 4)) for p in ((1 - level) / 2, (1 + level) / 2))
    inside = number = 0
    for truth, quantiles in _numbers(table, taken, found):
        inside += int(((truth >= quantiles[low]) & (truth <= quantiles[high])).sum())
        number += len(truth)
    return inside, number


def _numbers(table: Table, taken: Any, found: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields of each column of numbers what was held out and its quantiles, `[probability, n]`."""
    for column in table.schema.columns.values():
        chosen = taken[column.name].to_numpy()
        if column.is_class or not chosen.any():
            continue
        frames = (found.quantiles[p] for p in PROBABILITIES)
        quantiles = [np.asarray(f[column.name].to_numpy()[chosen], np.float64) for f in frames]
        yield (
            np.asarray(table.frame[column.name].to_numpy()[chosen], np.float64),
            np.stack(quantiles),
        )
