"""Simple guesses and scikit-learn's imputers, to compare a model's estimates with."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from tf_mvae.data.tables import Table
from tf_mvae.errors import UserError
from tf_mvae.evaluation.settings import Settings

__all__ = ["baseline_estimates", "fit_baselines"]

Units = dict[Any, tuple[float, float]]

_NEIGHBOURS = 5
_TREES, _ROUNDS = 20, 3


def baseline_estimates(train: Table, holes: Table, settings: Settings) -> dict[str, Any]:
    """Returns what other imputers say of every cell, data frames in the table's units.

    Args:
        train: The rows to learn from.
        holes: The rows to fill.
        settings: For progress and the seed.

    Raises:
        UserError: scikit-learn is not installed.
    """
    return fit_baselines(train, settings)(holes)


def fit_baselines(train: Table, settings: Settings) -> Callable[[Table], dict[str, Any]]:
    """Fits other imputers once; returns a function that fills tables, see `baseline_estimates`."""
    try:
        from sklearn.ensemble import RandomForestRegressor
        from sklearn.experimental import enable_iterative_imputer  # noqa: F401
        from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
    except ImportError as error:
        raise UserError(
            "--analysis=imputation needs scikit-learn: pip install 'tf-mvae[sweep]'"
        ) from error
    iterative = {"random_state": settings.seed, "keep_empty_features": True}
    forest = RandomForestRegressor(_TREES, min_samples_leaf=3, random_state=settings.seed)
    imputers = {  # and whether they see classes without their first value
        "mean or mode": (SimpleImputer(keep_empty_features=True), False),
        "IterativeImputer": (IterativeImputer(**iterative), True),
        "random forests": (IterativeImputer(forest, max_iter=_ROUNDS, **iterative), True),
        "KNNImputer": (KNNImputer(n_neighbors=_NEIGHBOURS, keep_empty_features=True), False),
    }
    units = _units(train)
    with warnings.catch_warnings():  # that a few rounds were not enough
        warnings.simplefilter("ignore")
        for imputer, drop in settings.progress(
            imputers.values(), desc="imputers", total=len(imputers)
        ):
            imputer.fit(_matrix(train, drop, units))

    def fill(holes):
        found = {}
        for name, (imputer, drop) in imputers.items():
            filled = imputer.transform(_matrix(holes, drop, units))
            found[name] = _frame(holes, filled, drop, units)
        return found

    return fill


def _units(table: Table) -> Units:
    """Returns the mean and the standard deviation of each column of numbers, as encoded."""
    found = {}
    for column in (table.schema.columns | table.schema.covariates).values():
        if not column.is_class:
            values = column.encode(table.frame[column.name]).astype(np.float64)
            spread = float(np.nanstd(values))
            found[column.name] = float(np.nanmean(values)), spread or 1.0
    return found


def _matrix(table: Table, drop: bool, units: Units) -> np.ndarray:
    """Returns a table as numbers side by side: standardised ones, and classes one-hot.

    With `drop` a class has no place for its first value, and one of an order is its number: places
    that add up to 1 would say of each other all that a regression asks.
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
    """Returns the data frame that a matrix of estimates stands for."""
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
