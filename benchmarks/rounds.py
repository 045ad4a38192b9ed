"""Comparisons of contestants that take turns."""

import statistics
from collections.abc import Sequence

__all__ = ["ratio"]


def ratio(ones: Sequence[float], others: Sequence[float]) -> float:
    """Returns the median over rounds of the ratio of two figures of the same round.

    Other work on the machine changes both figures of a round, and their ratio less. What took part
    in the first rounds only is compared in those.

    Args:
        ones: A figure by round.
        others: The figure that it is divided by, by round.
    """
    return statistics.median(one / other for one, other in zip(ones, others, strict=False))
