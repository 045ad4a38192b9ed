"""Decision thresholds of attributes, chosen on validation examples."""

import numpy as np

__all__ = ["balanced_thresholds"]


def balanced_thresholds(
    probabilities: np.ndarray, true: np.ndarray, counts: np.ndarray, otherwise: np.ndarray
) -> np.ndarray:
    """Returns the thresholds with the best balanced accuracy, `[member]`.

        balanced accuracy = (TP / P + TN / N) / 2,   positive if probability > threshold

    Candidates are halfway between two neighbouring probabilities. Of equally good candidates the
    middle one is chosen.

    Args:
        probabilities: Predicted probabilities, `[example, member]`.
        true: Whether an attribute is positive, booleans of the same shape.
        counts: Whether it is observed, booleans of the same shape.
        otherwise: Thresholds for attributes without positives or without negatives, `[member]`.

    Example:
    ```python
    from tf_mvae.evaluation.thresholds import balanced_thresholds

    p, true = np.array([[0.1], [0.2], [0.4]]), np.array([[False], [False], [True]])
    balanced_thresholds(p, true, np.ones_like(true), otherwise=np.array([0.5]))  # [0.3]
    ```
    """
    chosen = np.array(otherwise, float)
    for column in range(len(chosen)):
        known = counts[:, column]
        p, has = probabilities[known, column], true[known, column]
        if has.all() or not has.any():
            continue
        levels = np.unique(p)  # in order
        if len(levels) == 1:  # all probabilities are equal, so no threshold separates them
            continue
        between = (levels[1:] + levels[:-1]) / 2
        positives, negatives = np.sort(p[has]), np.sort(p[~has])
        # The fractions of positives above, and of negatives at most, each candidate.
        above = 1 - np.searchsorted(positives, between, side="right") / len(positives)
        below = np.searchsorted(negatives, between, side="right") / len(negatives)
        best = np.flatnonzero(np.isclose(above + below, (above + below).max()))
        chosen[column] = between[best[len(best) // 2]]
    return chosen
