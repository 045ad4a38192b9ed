"""Baselines of imputation: mean or mode, and scikit-learn's imputers."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tf_mvae.data.tables import Table
from tf_mvae.evaluation.settings import Settings
from tf_mvae.extras import needing

__all__ = ["Baselines", "baseline_estimates", "fit_baselines"]

Units = dict[Any, tuple[float, float]]  # mean and standard deviation by column

_NEIGHBOURS = 5
_TREES, _ROUNDS = 20, 3
# Limits that keep the time of regressions of a thousand columns at minutes. Tables with more than
# _WIDE columns (one-hot) use _NEAREST columns per regression and _WIDE_ROUNDS rounds; random
# forests are fitted to at most _FOREST_ROWS rows.
_WIDE, _NEAREST, _WIDE_ROUNDS, _FOREST_ROWS = 200, 50, 5, 2000


class Baselines(NamedTuple):
    """Imputers that are fitted to a table.

    Attributes:
        fill: A function from a table to data frames of estimates for every cell, in the table's
            units, by baseline.
        rounds: How many times each iterative imputer goes over the columns.
    """

    fill: Callable[[Table], dict[str, Any]]
    rounds: dict[str, int]


def baseline_estimates(train: Table, holes: Table, settings: Settings) -> dict[str, Any]:
    """Fills a table with each baseline.

    Args:
        train: The rows to learn from.
        holes: The rows to fill.
        settings: The settings of the evaluation; `progress` and `seed` are used.

    Returns:
        Data frames of estimates for every cell, in the table's units, by baseline.

    Raises:
        UserError: scikit-learn is not installed.
    """
    return fit_baselines(train, settings).fill(holes)


def fit_baselines(train: Table, settings: Settings) -> Baselines:
    """Fits all baselines to a table, and returns a function that fills other tables with them.

    Iterative imputers estimate each column in turn from the others, 10 times (random forests: 3),
    whether or not the training table has gaps: scikit-learn's criterion to stop early compares two
    rounds on the training table, where without gaps nothing changes after the first. Each estimate
    is bounded by the least and the largest value of its column in the training table, because the
    rounds of regressions may diverge.

    If there are more than 200 columns (with one-hot classes), each column is regressed on 50
    others, drawn in proportion to their correlation, in 5 rounds instead of 10 (random forests: 1
    instead of 3). Random forests are fitted to at most 2,000 random rows.

    Args:
        train: The rows to learn from.
        settings: The settings of the evaluation; `progress` and `seed` are used.

    Returns:
        The function, and the numbers of rounds.

    Raises:
        UserError: scikit-learn is not installed.
    """
    with needing("--analysis=imputation", "sweep"):
        from sklearn.ensemble import RandomForestRegressor
        from sklearn.experimental import enable_iterative_imputer  # noqa: F401
        from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
    units = _units(train)
    low, high = _limits(_matrix(train, True, units))
    iterative: dict[str, Any] = {
        "random_state": settings.seed,
        "keep_empty_features": True,
        "tol": 0,  # no early stop
        "min_value": low,
        "max_value": high,
    }
    forest = RandomForestRegressor(_TREES, min_samples_leaf=3, random_state=settings.seed)
    rounds, forest_rounds = 10, _ROUNDS
    if len(low) > _WIDE:
        iterative["n_nearest_features"] = _NEAREST
        rounds, forest_rounds = _WIDE_ROUNDS, 1
    forests = IterativeImputer(forest, max_iter=forest_rounds, **iterative)
    imputers = {  # an imputer, and whether its one-hot classes drop the first value (`_matrix`)
        "mean or mode": (SimpleImputer(keep_empty_features=True), False),
        "IterativeImputer": (IterativeImputer(max_iter=rounds, **iterative), True),
        "random forests": (forests, True),
        "KNNImputer": (KNNImputer(n_neighbors=_NEIGHBOURS, keep_empty_features=True), False),
    }
    few = np.random.default_rng([settings.seed, 29]).permutation(len(train.frame))[:_FOREST_ROWS]
    with warnings.catch_warnings():  # scikit-learn warns that a few rounds did not converge
        warnings.simplefilter("ignore")
        for imputer, drop in settings.progress(
            imputers.values(), desc="imputers", total=len(imputers)
        ):
            matrix = _matrix(train, drop, units)
            # Random forests use a random selection of rows; the others all rows in their order.
            chosen = imputer is forests and len(few) < len(matrix)
            imputer.fit(matrix[few] if chosen else matrix)

    def fill(holes):
        found = {}
        for name, (imputer, drop) in imputers.items():
            filled = imputer.transform(_matrix(holes, drop, units))
            found[name] = _frame(holes, filled, drop, units)
        return found

    iterated = {name: imputers[name][0] for name in ("IterativeImputer", "random forests")}
    return Baselines(fill, {name: imputer.n_iter_ for name, imputer in iterated.items()})


def _limits(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the least and the largest value of each column; infinite if these are not two."""
    low, high = np.fmin.reduce(matrix, axis=0), np.fmax.reduce(matrix, axis=0)
    varied = high > low  # scikit-learn refuses others
    return np.where(varied, low, -np.inf), np.where(varied, high, np.inf)


def _units(table: Table) -> Units:
    """Returns the mean and the standard deviation of each column of numbers, as encoded."""
    found = {}
    for column in (table.schema.columns | table.schema.covariates).values():
        if not column.is_class:
            values = column.encode(table.frame[column.name]).astype(np.float64)
            if np.isnan(values).all():  # the schema's unit is all that is known
                found[column.name] = 0.0, 1.0
                continue
            spread = float(np.nanstd(values))
            found[column.name] = float(np.nanmean(values)), spread or 1.0
    return found


def _matrix(table: Table, drop: bool, units: Units) -> np.ndarray:
    """Encodes a table as a matrix: standardised numbers, and one-hot classes, `[rows, columns]`.

    With `drop` the first value of a class has no column, and an ordinal class is one number. For
    regressions this is needed, because complete one-hot columns add up to 1, so that each could be
    computed from the others.
    """
    parts = []
    for column in (table.schema.columns | table.schema.covariates).values():
        values = column.encode(table.frame[column.name]).astype(np.float64)[:, np.newaxis]
        if column.is_class and not (drop and column.type == "ordinal"):
            hot = values == np.arange(int(drop), len(column.categories))
            values = np.where(np.isnan(values), np.nan, hot)
        elif not column.is_class:
            mean, spread = units[column.name]
            values = (values - mean) / spread
        parts.append(values)
    return np.concatenate(parts, axis=1)


def _frame(table: Table, matrix: np.ndarray, drop: bool, units: Units) -> Any:
    """Decodes a matrix of estimates (see `_matrix`) as a data frame."""
    import pandas as pd

    found, place = {}, 0
    for column in table.schema.columns.values():
        hot = column.is_class and not (drop and column.type == "ordinal")
        width = len(column.categories) - int(drop) if hot else 1
        values = matrix[:, place : place + width]
        place += width
        if hot and drop:
            values = np.concatenate([1 - values.sum(1, keepdims=True), values], 1)
        numbers = values.argmax(axis=1) if hot else values[:, 0]
        if not column.is_class:
            mean, spread = units[column.name]
            numbers = numbers * spread + mean
        found[column.name] = column.decode(numbers)
    return pd.DataFrame(found, table.frame.index)
