"""Thresholds from which something is taken for there, chosen on other examples."""

import numpy as np

__all__ = ["balanced_thresholds"]


def balanced_thresholds(
    probabilities: np.ndarray, true: np.ndarray, counts: np.ndarray, otherwise: np.ndarray
) -> np.ndarray:
    """Returns the thresholds with the best balanced accuracy, `[member]`.

    That is the mean of the fractions of positives and negatives that `probability > threshold`
    names right. Thresholds lie half way between two probabilities, and the middle one of equally
    good ones is taken.

    Args:
        probabilities: `[example, member]`.
        true: Whether it is there, the same shape.
        counts: Whether that is known, the same shape.
        otherwise: The threshold where nobody has something, or everybody, `[member]`.
    """
    chosen = np.array(otherwise, float)
    for column in range(len(chosen)):
        known = counts[:, column]
        p, has = probabilities[known, column], true[known, column]
        if has.all() or not has.any():
            continue
        levels = np.unique(p)  # in order
        if len(levels) == 1:  # says the same of all
            continue
        between = (levels[1:] + levels[:-1]) / 2
        haves, have_nots = np.sort(p[has]), np.sort(p[~has])
        above = 1 - np.searchsorted(haves, between, side="right") / len(haves)
        below = np.searchsorted(have_nots, between, side="right") / len(have_nots)
        best = np.flatnonzero(np.isclose(above + below, (above + below).max()))
        chosen[column] = between[best[len(best) // 2]]
    return chosen
