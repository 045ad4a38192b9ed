"""How well estimates order survival times, some of which are censored."""

import numpy as np

__all__ = ["concordance"]


def concordance(
    times: np.ndarray, events: np.ndarray, estimates: np.ndarray
) -> tuple[float, int] | None:
    """Returns Harrell's C, the fraction of comparable pairs that estimates order correctly.

        C = sum over pairs (i, j) of [e_i < e_j] + [e_i = e_j] / 2, by the number of pairs

    A pair is comparable if i is known to have its event before j: i has an event, and t_i < t_j
    or, if j is censored, t_i = t_j. 1/2 is the value of estimates that are all alike.

    Args:
        times: `[n]`, above 0.
        events: `[n]`, 1 at an event and 0 where the observation ended before it.
        estimates: `[n]`, of the events' times, in any unit.

    Returns:
        C and the number of pairs, or None if no pair is comparable.

    Reference: Harrell, Lee and Mark, Statistics in Medicine 1996.

    Example:

    ```python
    concordance(np.array([1.0, 2.0, 3.0]), np.array([1, 0, 1]), np.array([5.0, 9.0, 4.0]))
    # (0.5, 2): the first is before both others, one of which has an earlier estimate
    ```
    """
    right, pairs = 0.0, 0
    for time, estimate in zip(times[events == 1], estimates[events == 1], strict=True):
        later = estimates[(times > time) | ((times == time) & (events == 0))]
        right += float((estimate < later).sum() + (estimate == later).sum() / 2)
        pairs += len(later)
    return (right / pairs, pairs) if pairs else None
