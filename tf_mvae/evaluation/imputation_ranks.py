"""Where held-out numbers lie among a model's quantiles."""

from typing import Any, NamedTuple

import numpy as np

from tf_mvae.evaluation.imputation_cells import HeldOut

__all__ = ["PROBABILITIES", "STRATA", "Ranks"]

STRATA = 80
# Quantiles to impute. They include the ends of the central intervals of 5, 10, ... and 95 %.
PROBABILITIES = tuple(round(place / STRATA, 4) for place in range(1, STRATA))


class Ranks(NamedTuple):
    """The places of numbers among the quantiles of `PROBABILITIES`, which are in ascending order.

    Attributes:
        below: How many quantiles are below each number, `[cells]`.
        reached: How many are below it or equal to it, `[cells]`.
        rows: The original row of each number, `[cells]`.
        cells: Equal numbers from 0 on for repeats of one cell, `[cells]`.
        counts: The places of counts among the numbers, `[counts]`.
        ties: For each quantile of a count, how many quantiles are below it, and how many below it
            or equal to it, `[2, quantile, counts]`.
    """

    below: np.ndarray
    reached: np.ndarray
    rows: np.ndarray
    cells: np.ndarray
    counts: np.ndarray
    ties: np.ndarray

    @classmethod
    def of(cls, held: HeldOut, found: Any) -> "Ranks":
        """Compares held-out numbers with their quantiles.

        Survival times are not among them: whether a censored time is below a quantile is not known.

        Args:
            held: The held-out cells.
            found: An `ImputedTable` with the quantiles of `PROBABILITIES`.
        """
        none = np.zeros([0], int)
        parts: list[list[np.ndarray]] = [[none], [none], [none], [none], [none]]
        ties = [np.zeros([2, len(PROBABILITIES), 0], np.int8)]
        number = 0
        for column in held.table.schema.columns.values():
            chosen = held.chosen(column.name)
            if column.is_class or column.event is not None or not len(chosen):
                continue
            truth = np.asarray(held.table.frame[column.name].to_numpy()[chosen], np.float64)
            frames = (found.quantiles[p] for p in PROBABILITIES)
            quantiles = np.stack([np.asarray(f[column.name], np.float64)[chosen] for f in frames])
            is_count = column.type == "count"
            of_column = (
                (quantiles < truth).sum(axis=0),
                (quantiles <= truth).sum(axis=0),
                held.rows[chosen],
                held.same_cells(column.name),
                number + np.arange(len(chosen) if is_count else 0),
            )
            for part, values in zip(parts, of_column, strict=True):
                part.append(values)
            if is_count:
                ties.append(_ties(quantiles))
            number += len(chosen)
        below, reached, rows, cells, counts = map(np.concatenate, parts)
        cells = np.unique(cells, return_inverse=True)[1]
        return cls(below, reached, rows, cells, counts, np.concatenate(ties, axis=-1))

    def of_calibrated_model(self, rng: np.random.Generator) -> "Ranks":
        """Returns ranks of numbers that are drawn from the model's own quantiles.

        A number lies with equal probability in each of the `STRATA` intervals between quantiles; a
        count is the upper end of its interval. Repeats of a cell lie in the same interval.

        Args:
            rng: The random numbers.
        """
        drawn = rng.integers(STRATA, size=self.cells.max(initial=-1) + 1)[self.cells]
        below, reached = drawn.copy(), drawn.copy()
        ends = np.minimum(drawn[self.counts], len(PROBABILITIES) - 1)
        own = self.ties[:, ends, np.arange(len(ends))]
        below[self.counts], reached[self.counts] = own
        return self._replace(below=below, reached=reached)

    def inside(self, ends: tuple[float, float]) -> np.ndarray:
        """Returns whether each number lies in the closed interval between two quantiles, `[cells]`.

        Args:
            ends: Two of `PROBABILITIES`.
        """
        low, high = map(PROBABILITIES.index, ends)
        return (self.reached > low) & (self.below <= high)

    def transform(self, rng: np.random.Generator) -> np.ndarray:
        """Returns the probability integral transform of each number, in [0, 1], `[cells]`.

            u = (below + v (reached - below + 1)) / STRATA,   v ~ U(0, 1)

        With `STRATA - 1` samples of the numbers' own distribution in place of quantiles u is
        uniform, also if numbers are equal to samples.

        Args:
            rng: The random numbers.
        """
        return rng.uniform(self.below, self.reached + 1) / STRATA

    def by_row(self, values: np.ndarray) -> np.ndarray:
        """Returns sums over the numbers of each original row, `[rows]`.

        Args:
            values: `[cells]`.
        """
        return np.bincount(self.rows, values)


def _ties(quantiles: np.ndarray) -> np.ndarray:
    """Returns how many quantiles are below each, and below or equal, `[2, quantile, cells]`."""
    number = len(quantiles)
    places = np.arange(number, dtype=np.int8)[:, np.newaxis]
    first = np.ones(quantiles.shape, bool)
    first[1:] = quantiles[1:] != quantiles[:-1]
    below = np.maximum.accumulate(np.where(first, places, 0), axis=0)
    last = np.ones(quantiles.shape, bool)
    last[:-1] = first[1:]
    ends = np.where(last, places + 1, number)[::-1]
    return np.stack([below, np.minimum.accumulate(ends, axis=0)[::-1]]).astype(np.int8)
