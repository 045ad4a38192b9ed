"""Batches of a fixed composition: so many complete and so many incomplete examples."""

import dataclasses
from collections.abc import Mapping

import numpy as np

__all__ = ["Stratum", "cut"]

_MOST_PATTERNS = 8


@dataclasses.dataclass(frozen=True)
class Stratum:
    """Examples of a kind, and how many of them a batch has.

    Attributes:
        members: 1 for the examples that belong to it, bool `[examples]`.
        rows: How many of them each batch has.
        pattern: Which modalities they have, by name, where all have the same.
    """

    members: np.ndarray
    rows: int
    pattern: dict[str, float] | None


def cut(
    presence: Mapping[str, np.ndarray], batch_size: int, paired_share: float
) -> list[Stratum] | None:
    """Cuts a split into strata: the complete examples, and the others by what they have.

    The others share what is left of a batch in proportion to their numbers. Where they
    differ in more than eight ways, or members of a group are missing, they are one stratum.
    Examples that have nothing are in none.

    Args:
        presence: By modality, 1 where an example has it, `[examples]`, and of a group
            `[examples, member]`.
        batch_size: Rows of a batch.
        paired_share: The fraction of a batch that is whole; each stratum has one row at least.

    Returns:
        The strata, the complete examples first; None where all examples are alike, so that
        there is nothing to compose.
    """
    names = list(presence)
    columns = [(presence[name] > 0).reshape(len(presence[name]), -1) for name in names]
    table = np.concatenate(columns, axis=1)
    whole, some = table.all(axis=1), table.any(axis=1) & ~table.all(axis=1)
    if not whole.any() or not some.any():
        return None
    patterns, owner, counts = np.unique(
        table[some], axis=0, return_inverse=True, return_counts=True
    )
    if len(counts) > _MOST_PATTERNS or table.shape[1] > len(names):
        groups, known = [some], [None]
    else:
        rows_of_some = np.flatnonzero(some)
        groups = [np.zeros(len(table), bool) for _ in counts]
        for index, members in enumerate(groups):
            members[rows_of_some[owner.reshape(-1) == index]] = True
        known = [dict(zip(names, p, strict=True)) for p in patterns.astype(float).tolist()]
    paired = int(np.clip(round(paired_share * batch_size), 1, batch_size - len(groups)))
    rows = _largest_remainders([int(g.sum()) for g in groups], batch_size - paired)
    others = [Stratum(*parts) for parts in zip(groups, rows, known, strict=True)]
    return [Stratum(whole, paired, dict.fromkeys(names, 1.0)), *others]


def _largest_remainders(sizes: list[int], rows: int) -> list[int]:
    """Deals out rows in proportion to sizes, one at least to each."""
    exact = np.maximum(np.asarray(sizes) * rows / sum(sizes), 1)
    shares = np.floor(exact).astype(int)
    while shares.sum() > rows:
        shares[shares.argmax()] -= 1
    for index in np.argsort(shares - exact, kind="stable")[: rows - shares.sum()]:
        shares[index] += 1
    return shares.tolist()
