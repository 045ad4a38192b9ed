"""Errors of estimates of held-out cells, and of pairs of methods on the same cells."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from tf_mvae.data.column import Column
from tf_mvae.data.survival_columns import event_columns
from tf_mvae.data.tables import Table
from tf_mvae.evaluation.concordance import concordance
from tf_mvae.evaluation.imputation_cells import HeldOut
from tf_mvae.evaluation.statistics import jackknife_error

__all__ = ["REFERENCE", "difference_key", "errors"]

REFERENCE = "model"  # the method that others are compared with
_BLOCKS, _BLOCKS_OF_PAIRS = 200, 20

Results = dict[str, dict[str, Any]]


class _Scores(NamedTuple):
    """What a method scores.

    Attributes:
        all: With all rows.
        without: Without each block of rows, `[block]`.
    """

    all: float
    without: np.ndarray


def errors(held: HeldOut, train: Table, estimates: Mapping[str, Any]) -> Results:
    """Returns the errors of methods, and of each how much larger it is than the model's.

    - `error of numbers`: `mean_c sqrt(sum_i (x_ic - guess_ic)^2 / n_c) / sd_c` over the columns c
      of numbers, with `n_c` held-out cells and the standard deviation `sd_c` of the training rows;
    - `wrong classes`: the fraction of wrong classes of each column, averaged over columns;
    - `concordance of survival times`: `tf_mvae.evaluation.concordance`, averaged over columns.

    Standard errors are jackknifes over blocks of neighbouring original rows: 200, and 20 for
    concordances, or one per row. Columns are not sampled: the errors are of these columns. The
    difference of two methods is taken on the same rows, so that its standard error is a paired one.

    Args:
        held: The held-out cells.
        train: The training rows.
        estimates: By method a data frame of estimates for the table's rows; `REFERENCE` is the
            model.

    Returns:
        `value`, `standard_error`, `examples` (cells) and `rows` by `WHAT, METHOD`, and by
        `difference_key(WHAT, METHOD)` for every method but the model.
    """
    columns = held.table.schema.columns.values()
    numbers = [c for c in columns if not c.is_class and c.event is None]
    classes = [c for c in columns if c.is_class]
    spreads = np.array([_spread(train, column) for column in numbers])
    of_numbers = {
        name: _scores(held, numbers, frame, _squares, lambda means: np.sqrt(means) / spreads)
        for name, frame in estimates.items()
    }
    of_classes = {
        name: _scores(held, classes, frame, _wrong, lambda means: means)
        for name, frame in estimates.items()
    }
    found = _compared("error of numbers", held, numbers, of_numbers, unit="sd")
    found |= _compared("wrong classes", held, classes, of_classes)
    times = list(event_columns(held.table.schema).values())
    orders = {name: _concordances(held, frame) for name, frame in estimates.items()}
    if np.isnan(orders[REFERENCE].all):  # no pair of times is comparable
        return found
    return found | _compared("concordance of survival times", held, times, orders)


def difference_key(what: str, method: str) -> str:
    """Returns the name of the difference between a method's error and the model's.

    Args:
        what: Such as `error of numbers`.
        method: The other method.
    """
    return f"{what}, {method} less {REFERENCE}"


def _compared(
    what: str, held: HeldOut, columns: list[Column], scores: Mapping[str, _Scores], **more: Any
) -> Results:
    """Returns the results of all methods, and their differences from the model's."""
    chosen = [held.chosen(column.name) for column in columns]
    if not any(map(len, chosen)):
        return {}
    rows = len(np.unique(held.rows[np.concatenate(chosen)]))
    more |= {"examples": sum(map(len, chosen)), "rows": rows, "note": f"{rows:,} rows"}
    results, reference = {}, scores[REFERENCE]
    for method, own in scores.items():
        error = float(jackknife_error(own.without))
        results[f"{what}, {method}"] = {"value": own.all, "standard_error": error, **more}
        if method != REFERENCE:
            results[difference_key(what, method)] = {
                "value": own.all - reference.all,
                "standard_error": float(jackknife_error(own.without - reference.without)),
                **more,
            }
    return results


def _scores(
    held: HeldOut,
    columns: list[Column],
    estimates: Any,
    lost: Callable[[Column, Any, Any], np.ndarray],
    of_means: Callable[[np.ndarray], np.ndarray],
) -> _Scores:
    """Returns the mean over columns of a function of a column's mean loss.

    Args:
        held: The held-out cells.
        columns: The columns.
        estimates: The method's data frame.
        lost: From a column, its true values and the estimates to the loss of each cell, `[cells]`.
        of_means: From mean losses to the columns' errors, both `[..., column]`.
    """
    blocks = _blocks(held.rows, _BLOCKS)
    # Sums of losses, and numbers of cells, of each block and column.
    sums = np.zeros([2, blocks.max(initial=-1) + 1, len(columns)])
    for place, column in enumerate(columns):
        chosen = held.chosen(column.name)
        values = (frame[column.name].iloc[chosen] for frame in (held.table.frame, estimates))
        for own, weights in zip(sums, (lost(column, *values), None), strict=True):
            own[:, place] = np.bincount(blocks[chosen], weights, len(own))

    def score(loss: np.ndarray, cells: np.ndarray) -> np.ndarray:
        error = of_means(np.maximum(loss, 0) / np.maximum(cells, 1))
        return np.sum(error, axis=-1, where=cells > 0) / np.maximum(1, (cells > 0).sum(axis=-1))

    total = sums.sum(axis=1)
    sums = sums[:, sums[1].any(axis=-1)]  # a block without cells says nothing
    return _Scores(float(score(*total)), score(*(total[:, np.newaxis] - sums)))


def _concordances(held: HeldOut, estimates: Any) -> _Scores:
    """Returns the mean concordance of columns of survival times; NaN without comparable pairs."""
    blocks, own = _blocks(held.rows, _BLOCKS_OF_PAIRS), []
    for event, column in event_columns(held.table.schema).items():
        chosen = held.chosen(column.name)
        values = (held.table.frame[column.name], held.table.frame[event], estimates[column.name])
        # Times, events and estimates, [3, cells].
        numbers = np.stack([np.asarray(v.iloc[chosen], np.float64) for v in values])
        own.append((blocks[chosen], numbers))

    def score(block: int) -> float:
        found = [concordance(*values[:, places != block]) for places, values in own]
        fractions = [pairs[0] for pairs in found if pairs is not None]
        return float(np.mean(fractions)) if fractions else np.nan

    there = np.unique(np.concatenate([places for places, _ in own])) if own else []
    return _Scores(score(-1), np.array([score(block) for block in there]))


def _blocks(rows: np.ndarray, most: int) -> np.ndarray:
    """Returns the block of neighbouring rows that each row is in, from 0 on, of almost equal size.

    Args:
        rows: Original rows, `[rows]`.
        most: The largest number of blocks.
    """
    number = int(rows.max(initial=-1)) + 1
    return rows * min(most, number) // max(1, number)


def _spread(train: Table, column: Column) -> float:
    """Returns the standard deviation of a column in training; 1 if it is 0 or unknown."""
    known = train.frame[column.name].dropna()
    return (float(np.std(np.asarray(known, np.float64))) if len(known) else 0.0) or 1.0


def _squares(column: Column, truth: Any, guess: Any) -> np.ndarray:
    """Returns the squared errors of numbers, `[cells]`."""
    return (np.asarray(truth, np.float64) - np.asarray(guess, np.float64)) ** 2


def _wrong(column: Column, truth: Any, guess: Any) -> np.ndarray:
    """Returns 1 for wrong classes and 0 for others, `[cells]`."""
    return (column.encode(truth) != column.encode(guess)).astype(np.float64)
