"""Quantiles of samples whose intervals contain a further value as often as their level says."""

from collections.abc import Sequence

import numpy as np

__all__ = ["sample_quantiles"]

_ROUNDING = 1e-3  # of ranks, so that a half is rounded up in float32 as in float64


def sample_quantiles(
    sample: np.ndarray, probabilities: Sequence[float], are_counts: bool = False
) -> np.ndarray:
    """Returns quantiles of K samples: the values of the ranks `(K + 1) p`, from 1 on.

    A further value of the same distribution lies below the r-th smallest of K samples with the
    probability `r / (K + 1)`. The interval between the quantiles of `(1 - level) / 2` and
    `(1 + level) / 2` therefore contains it with the probability `level` (definition 6 of Hyndman
    and Fan, The American Statistician 1996; "weibull" in numpy). Of numpy's default, the ranks
    `1 + (K - 1) p`, this probability is `level (K - 1) / (K + 1)`.

    Values of ranks that are no whole numbers are interpolated linearly. Of counts a quantile is the
    sample of the nearest rank, of two the larger one. Where `(K + 1) p` is below 1 or above K, the
    quantile is the smallest or the largest sample, and intervals contain less than their level.

    Args:
        sample: `[K, ...]`.
        probabilities: In (0, 1).
        are_counts: Whether quantiles are among the samples.

    Returns:
        Float32, `[probability, ...]`; NaN where a sample is NaN.
    """
    wanted, number = np.asarray(probabilities, np.float64), len(sample)
    if not are_counts:
        return np.quantile(sample, wanted, axis=0, method="weibull").astype(np.float32)
    ranks = np.floor((number + 1) * wanted + 0.5 + _ROUNDING)
    places = (np.clip(ranks, 1, number) - 1) / max(number - 1, 1)
    return np.quantile(sample, places, axis=0, method="nearest").astype(np.float32)
