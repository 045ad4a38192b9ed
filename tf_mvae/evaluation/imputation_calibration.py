"""Calibration of imputations: coverage of intervals, PIT, probabilities of classes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tf_mvae.evaluation.imputation_cells import HeldOut
from tf_mvae.evaluation.imputation_ranks import Ranks
from tf_mvae.evaluation.statistics import share_of_rows

__all__ = [
    "LEVELS",
    "central_ends",
    "central_fraction",
    "class_calibration",
    "coverage_curve",
    "coverages",
    "of_calibrated",
    "transform_histogram",
]

LEVELS = (0.5, 0.8, 0.9)
_STEPS = 20
_DRAWS = 100  # of what a perfectly calibrated model scores

Results = dict[str, dict[str, Any]]


def coverages(name: str, ranks: Ranks) -> Results:
    """Returns the fractions of held-out numbers inside their central 50, 80 and 90 % intervals.

    Standard errors are over rows (`share_of_rows`); the results also have the number of `rows`.

    Args:
        name: The method, for the results' names.
        ranks: The numbers' places among the model's quantiles.
    """
    inside = {level: ranks.inside(central_ends(level)) for level in LEVELS}
    named = {f"numbers inside the {level:.0%} interval": own for level, own in inside.items()}
    return _fractions(name, ranks, named)


def coverage_curve(name: str, ranks: Ranks, seed: int) -> Results:
    """Returns the mean absolute difference between intervals' levels and their coverage.

    The result also has the `levels`, 5 to 95 %, and the `coverage` of each. A second result
    (`of_calibrated`) is the mean difference of a perfectly calibrated model, whose numbers are
    drawn from its own quantiles: it is above 0 because there are finitely many cells, and, of
    counts, because the ends of closed intervals belong to them. For both, repeats of a cell are
    drawn as one.

    Args:
        name: The method, for the results' names.
        ranks: The numbers' places among the model's quantiles.
        seed: The seed of the draws.
    """
    levels = [round(place / _STEPS, 3) for place in range(1, _STEPS)]

    def coverage(ranks: Ranks) -> list[float]:
        return [float(ranks.inside(central_ends(level)).mean()) for level in levels]

    def error(ranks: Ranks, rng: np.random.Generator) -> float:
        return float(np.mean(np.abs(np.subtract(coverage(ranks), levels))))

    if not len(ranks.below):
        return {}
    rng = np.random.default_rng([seed, 41])
    entry = _entry(error(ranks, rng), len(ranks.below), levels=levels, coverage=coverage(ranks))
    return _with_calibrated(f"coverage error, {name}", entry, _drawn_score(ranks, error, rng))


def transform_histogram(name: str, ranks: Ranks, seed: int) -> Results:
    """Returns the distance of the probability integral transform (PIT) from uniform.

    For a calibrated model `u = P(X < x) + v P(X = x)` with uniform v is uniform (Czado, Gneiting
    and Held, Biometrics 2009); here it is computed from quantiles (`Ranks.transform`). The value is
    the total variation distance, and `histogram` has the fraction of u in each twentieth of [0, 1].
    A maximum in the middle means that intervals are too wide, a minimum that they are too narrow.

    A second result (`of_calibrated`) is the distance of a perfectly calibrated model, as in
    `coverage_curve`. The others are the fractions of the PIT in central intervals (see
    `central_fraction`), with standard errors over rows.

    Args:
        name: The method, for the results' names.
        ranks: The numbers' places among the model's quantiles.
        seed: The seed of v and of the draws.
    """

    def histogram(bins: np.ndarray) -> np.ndarray:
        return np.bincount(bins, minlength=_STEPS) / len(bins)

    def distance(ranks: Ranks, rng: np.random.Generator) -> float:
        return _distance(histogram(_bins(ranks, rng)))

    if not len(ranks.below):
        return {}
    rng = np.random.default_rng([seed, 31])
    bins = _bins(ranks, rng)
    found = histogram(bins)
    entry = _entry(_distance(found), len(bins), histogram=found.tolist())
    key = f"distance of the PIT from uniform, {name}"
    results = _with_calibrated(key, entry, _drawn_score(ranks, distance, rng))
    central = {
        f"PIT in the central {level:.0%}": (bins >= (cut := _outside(level, _STEPS)))
        & (bins < _STEPS - cut)
        for level in LEVELS
    }
    return results | _fractions(name, ranks, central)


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
    outside = _outside(level, len(histogram))
    return float(sum(histogram[outside : len(histogram) - outside]))


def class_calibration(held: HeldOut, probabilities: Mapping[Any, Any], seed: int) -> Results:
    """Returns the expected calibration error of classes, over ten bins of confidence.

        sum_b n_b / n |accuracy_b - confidence_b|

    (Guo et al., ICML 2017.) Confidence is the largest probability of a cell. The result also has
    the mean `confidence`, the `accuracy` and the `number` of cells of each bin that is not empty.
    A second result (`of_calibrated`) is the error of a perfectly calibrated model, whose classes
    are right with the probability that is their confidence; repeats of a cell are drawn as one.

    Args:
        held: The held-out cells.
        probabilities: By column, a data frame with one column per class.
        seed: The seed of the draws.
    """
    confidence, right, cells = [np.zeros([0])], [np.zeros([0], bool)], [np.zeros([0], int)]
    for name, chances in probabilities.items():
        chosen = held.chosen(name)
        values = chances.to_numpy()[chosen]
        truth = held.table.schema.columns[name].encode(held.table.frame[name])[chosen]
        confidence.append(values.max(axis=1))
        right.append(values.argmax(axis=1) == truth)
        cells.append(held.same_cells(name))
    sure, correct = np.concatenate(confidence), np.concatenate(right)
    if not len(correct):
        return {}
    bins = np.minimum((sure * 10).astype(int), 9)

    def error(correct: np.ndarray) -> float:
        return float(np.abs(np.bincount(bins, sure - correct)).sum() / len(sure))

    members = [bins == place for place in np.unique(bins)]
    entry = _entry(
        error(correct),
        len(correct),
        confidence=[float(sure[own].mean()) for own in members],
        accuracy=[float(correct[own].mean()) for own in members],
        number=[int(own.sum()) for own in members],
    )
    rng = np.random.default_rng([seed, 43])
    same = np.unique(np.concatenate(cells), return_inverse=True)[1]
    drawn = (rng.uniform(size=same.max() + 1)[same] < sure for _ in range(_DRAWS))
    calibrated = float(np.mean([error(each) for each in drawn]))
    return _with_calibrated("calibration error of classes, model", entry, calibrated)


def of_calibrated(key: str) -> str:
    """Returns the name of what a perfectly calibrated model scores on as many cells.

    Different cells are drawn independently; a model whose errors in one row agree scores more.

    Args:
        key: The name of what the model scores.
    """
    return f"{key} (of a perfectly calibrated model)"


def _with_calibrated(key: str, entry: dict[str, Any], calibrated: float) -> Results:
    """Returns a result, and next to it what a perfectly calibrated model scores."""
    return {key: entry, of_calibrated(key): _entry(calibrated, entry["examples"])}


def _drawn_score(
    ranks: Ranks,
    score: Callable[[Ranks, np.random.Generator], float],
    rng: np.random.Generator,
) -> float:
    """Returns the mean score of numbers that are drawn from the model's own quantiles."""
    return float(np.mean([score(ranks.of_calibrated_model(rng), rng) for _ in range(_DRAWS)]))


def _bins(ranks: Ranks, rng: np.random.Generator) -> np.ndarray:
    """Returns the twentieth of [0, 1] that each number's PIT is in, `[cells]`."""
    return np.minimum((ranks.transform(rng) * _STEPS).astype(int), _STEPS - 1)


def _distance(histogram: np.ndarray) -> float:
    """Returns the total variation distance of a histogram from the uniform one."""
    return float(np.abs(histogram - 1 / len(histogram)).sum() / 2)


def _outside(level: float, bins: int) -> int:
    """Returns how many of equal bins of [0, 1] lie on each side of a central interval."""
    return round(central_ends(level)[0] * bins)


def _fractions(name: str, ranks: Ranks, inside: Mapping[str, np.ndarray]) -> Results:
    """Returns the fraction of numbers that are inside, by what they are inside of."""
    if not len(ranks.below):
        return {}
    cells = ranks.by_row(np.ones(len(ranks.rows)))
    results = {}
    for what, own in inside.items():
        entry: dict[str, Any] = share_of_rows(ranks.by_row(own), cells)
        results[f"{what}, {name}"] = {**entry, "note": f"{entry['rows']:,} rows"}
    return results


def _entry(value: float, examples: int, **more: Any) -> dict[str, Any]:
    """Returns a result without a standard error."""
    return {"value": value, "standard_error": float("nan"), "examples": examples, **more}
