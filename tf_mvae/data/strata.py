"""Batches of a fixed composition of complete and incomplete examples."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from tf_mvae.errors import UserError

__all__ = ["Stratum", "cut"]

_MOST_PATTERNS = 8


@dataclasses.dataclass(frozen=True)
class Stratum:
    """Examples with the same modalities, and their number in a batch.

    Attributes:
        members: 1 for the examples that belong to it, bool `[examples]`.
        rows: The number of them in each batch.
        pattern: Which modalities they have, by name, where all have the same.
    """

    members: np.ndarray
    rows: int
    pattern: dict[str, float] | None


def cut(
    presence: Mapping[str, np.ndarray], batch_size: int, paired_share: float
) -> list[Stratum] | None:
    """Divides a split into strata: the complete examples, and the others by their modalities.

    The others share what is left of a batch in proportion to their numbers. Where they
    differ in more than eight ways, or members of a group are missing, they are one stratum.
    Examples without a modality are in no stratum.

    Args:
        presence: By modality, 1 where an example has it, `[examples]`, and of a group
            `[examples, member]`.
        batch_size: Rows of a batch.
        paired_share: The fraction of complete examples in a batch; a stratum has at least one row.

    Returns:
        The strata, the complete examples first; None where all examples are alike, so that
        there is nothing to compose.

    Raises:
        UserError: A batch has fewer rows than there are strata.
    """
    names = list(presence)
    columns = [(presence[name] > 0).reshape(len(presence[name]), -1) for name in names]
    table = np.concatenate(columns, axis=1)
    whole = np.all(table, axis=1)
    some = np.asarray(table.any(axis=1) & ~whole)
    if not whole.any() or not some.any():
        return None
    patterns, owner, counts = np.unique(
        table[some], axis=0, return_inverse=True, return_counts=True
    )
    if len(counts) > _MOST_PATTERNS or table.shape[1] > len(names):
        groups = [some]
        known: list[dict[str, Any] | None] = [None]
    else:
        rows_of_some = np.flatnonzero(some)
        groups = [np.zeros(len(table), bool) for _ in counts]
        for index, members in enumerate(groups):
            members[rows_of_some[owner.reshape(-1) == index]] = True
        known = [dict(zip(names, p, strict=True)) for p in patterns.astype(float).tolist()]
    kinds = 1 + len(groups)
    if batch_size < kinds:
        raise UserError(
            f"--batch_size={batch_size} is too small for --paired_share: a batch has examples of "
            f"{kinds} kinds, complete ones and others; make it {kinds} or more"
        )
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
