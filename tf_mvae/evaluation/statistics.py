"""Means, fractions and ratios of sums, each with its standard error."""

import math
from collections.abc import Callable

import numpy as np

__all__ = [
    "block_jackknife",
    "jackknife_error",
    "mean_and_error",
    "mean_share",
    "ratio_and_error",
    "share",
    "share_of_rows",
]


def share(right: float, number: float) -> dict[str, float]:
    """Returns the fraction `p = right / number` with its standard error.

        sqrt(q (1 - q) / (number + 4)),   q = (right + 2) / (number + 4)

    Two successes and two failures are added, so that the error is not 0 where all or none of the
    examples are right (Agresti and Coull, *Approximate is better than "exact" for interval
    estimation of binomial proportions*, The American Statistician 1998).

    Args:
        right: The count.
        number: The total; the fraction is NaN if it is 0.

    Returns:
        `value`, `standard_error` and `examples`.
    """
    value = right / number if number else math.nan
    added = (right + 2) / (number + 4)
    error = math.sqrt(added * (1 - added) / (number + 4)) if number else math.nan
    return {"value": value, "standard_error": error, "examples": int(number)}


def mean_share(rates: np.ndarray) -> dict[str, float]:
    """Returns the mean of examples' own fractions with its standard error, as `share` does.

    The error is that of the mean of independent examples, of which four are added: `share`'s where
    every fraction is 0 or 1.

    Args:
        rates: The fraction of each example, such as that of its draws that are right, `[examples]`.

    Returns:
        `value`, `standard_error` and `examples`.
    """
    if not len(rates):
        return share(0, 0)
    added = np.concatenate([rates, [0, 0, 1, 1]])
    error = added.std() / math.sqrt(len(added))
    return {"value": float(np.mean(rates)), "standard_error": float(error), "examples": len(rates)}


def share_of_rows(right: np.ndarray, number: np.ndarray) -> dict[str, float]:
    """Returns the fraction of cells that are right, with its standard error over rows.

        sum_i right_i / sum_i number_i

    The error is the jackknife's over the rows that have cells: cells of one row depend on each
    other. If all cells are right, or none, it is that of `share` for as many rows.

    Args:
        right: The number of right cells of each row, `[rows]`.
        number: The number of cells of each row, `[rows]`.

    Returns:
        `value`, `standard_error`, `examples` (the number of cells), and `rows` (of those with
        cells).
    """
    cells = np.stack([right, number], axis=-1)[np.asarray(number) > 0].astype(np.float64)
    inside, total = map(float, cells.sum(axis=0))
    found = {**share(inside, total), "rows": len(cells)}
    if inside in (0, total):
        error = share(len(cells) * (inside > 0), len(cells))["standard_error"]
    else:
        error = ratio_and_error(lambda sums: sums[..., 0] / sums[..., 1], cells)[1]
    return {**found, "standard_error": error}


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    """Returns the mean of values and its standard error, which is NaN for a single value.

    Args:
        values: `[examples]`.
    """
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return float(values.mean()), float(error)


def ratio_and_error(
    statistic: Callable[[np.ndarray], np.ndarray], rows: np.ndarray
) -> tuple[float, float]:
    """Returns a function of sums over examples, such as a ratio, and its jackknife standard error.

    Args:
        statistic: A function from sums, `[..., count]`, to values, `[...]`.
        rows: The summands of each example, `[examples, count]`.
    """
    total = rows.sum(axis=0)
    error = jackknife_error(statistic(total - rows)) if len(rows) > 1 else np.nan
    return float(statistic(total)), float(error)


def block_jackknife(score: Callable[[np.ndarray], float], number: int, blocks: int) -> float:
    """Returns the standard error of a score by the jackknife over blocks of examples.

    Args:
        score: A function from examples' indices to the score of these examples.
        number: The number of examples.
        blocks: The number of blocks of neighbouring examples; at most one per example.
    """
    rows = np.arange(number)
    if number < 2:
        return float("nan")
    parts = np.array_split(rows, min(blocks, number))
    return float(jackknife_error(np.array([score(np.setdiff1d(rows, part)) for part in parts])))


def jackknife_error(without: np.ndarray) -> np.ndarray:
    """Returns the jackknife standard error of a statistic.

        sqrt((n - 1) / n * sum_i (t_i - mean t)^2)

    with the statistic `t_i` of all examples except block i of n equal blocks (Efron and Stein,
    Annals of Statistics 1981).

    Args:
        without: The statistic without each block, `[block, ...]`.

    Returns:
        `[...]`; NaN for fewer than two blocks.
    """
    number = len(without)
    if number < 2:
        return np.full(np.shape(without)[1:], np.nan)
    spread = np.sum((without - without.mean(axis=0)) ** 2, axis=0)
    return np.sqrt((number - 1) / number * spread)
