"""Means, fractions and ratios of sums, each with its standard error."""

import math
from collections.abc import Callable

import numpy as np

__all__ = [
    "block_jackknife",
    "jackknife_error",
    "mean_and_error",
    "ratio_and_error",
    "share",
]


def share(right: float, number: float) -> dict[str, float]:
    """Returns a fraction with its binomial standard error and the number it is a fraction of."""
    value = right / number if number else math.nan
    error = math.sqrt(value * (1 - value) / number) if number else math.nan
    return {"value": value, "standard_error": error, "examples": int(number)}


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    """Returns the mean of examples' values and its standard error; NaN of a single one's."""
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return float(values.mean()), float(error)


def ratio_and_error(
    statistic: Callable[[np.ndarray], np.ndarray], rows: np.ndarray
) -> tuple[float, float]:
    """Returns a statistic of sums over examples, and its standard error by the jackknife.

    Args:
        statistic: From sums, `[..., count]`, to values, `[...]`.
        rows: What is summed up, `[batch, count]`.
    """
    total = rows.sum(axis=0)
    error = jackknife_error(statistic(total - rows)) if len(rows) > 1 else np.nan
    return float(statistic(total)), float(error)


def block_jackknife(score: Callable[[np.ndarray], float], number: int, blocks: int) -> float:
    """Returns the standard error of a score by the jackknife over blocks of examples.

    Args:
        score: From examples' indices to the score of these examples.
        number: How many examples there are.
        blocks: How many blocks of neighbouring examples to make; at most one an example.
    """
    rows = np.arange(number)
    if number < 2:
        return float("nan")
    parts = np.array_split(rows, min(blocks, number))
    return float(jackknife_error(np.array([score(np.setdiff1d(rows, part)) for part in parts])))


def jackknife_error(without: np.ndarray) -> np.ndarray:
    """Returns a standard error from the values of a statistic without each of equal blocks.

    `sqrt((n - 1) / n * sum_i (t_i - mean t)^2)` (Efron and Stein, Annals of Statistics 1981).

    Args:
        without: `[block, ...]`, the statistic of everything but one block.

    Returns:
        `[...]`; NaN for fewer than two blocks.
    """
    number = len(without)
    if number < 2:
        return np.full(np.shape(without)[1:], np.nan)
    spread = np.sum((without - without.mean(axis=0)) ** 2, axis=0)
    return np.sqrt((number - 1) / number * spread)
