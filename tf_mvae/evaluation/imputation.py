"""How well a model fills cells of a table that it does not see, and how well it knows that."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from tf_mvae.data.tables import Table
from tf_mvae.errors import UserError
from tf_mvae.evaluation.registry import analysis
from tf_mvae.evaluation.run import Run
from tf_mvae.evaluation.settings import Settings
from tf_mvae.evaluation.statistics import mean_and_error, share

__all__ = ["analyze", "baseline_estimates", "held_out"]

Units = dict[Any, tuple[float, float]]

_FRACTION = 0.2
_INTERVALS = (0.5, 0.8, 0.9)
_NEIGHBOURS = 5
_TREES, _ROUNDS = 20, 3
_MOST_ROUNDS, _ENOUGH_ROWS = 10, 1500


def held_out(table: Table, fraction: float = _FRACTION, seed: int = 0) -> tuple[Table, Any]:
    """Returns a table without random observed cells, and where these were.

    A row keeps at least one cell.

    Args:
        table: The table.
        fraction: Of the observed cells of the schema's columns.
        seed: The choice is a function of it.

    Returns:
        The table with more gaps, and a bool data frame of its columns, true at what was taken.
    """
    frame = table.frame[list(table.schema.columns)]
    observed = frame.notna()
    rng = np.random.default_rng([seed, 23])
    draw = np.where(observed, rng.uniform(size=frame.shape), np.inf)
    taken = draw < fraction
    kept = observed.to_numpy() & ~taken
    # The cell with the largest number stays where all would go.
    last = np.where(observed, draw, -np.inf).argmax(axis=1)
    empty = ~kept.any(axis=1)
    taken[empty, last[empty]] = False
    taken = type(frame)(taken, frame.index, frame.columns)
    holes = frame.mask(taken)
    for name in table.schema.covariates:
        holes[name] = table.frame[name].array
    return Table(holes, table.schema), taken


@analysis(
    "imputation",
    "cells of a table that are held out, compared with simple guesses and scikit-learn's imputers",
    num_samples=200,
)
def analyze(run: Run, settings: Settings) -> dict[str, Any]:
    """Holds out a fifth of a table's observed cells and fills them; the `imputation` analysis.

    Of fewer than 1,500 rows that is done up to ten times, with other cells each time.

    Errors of numbers are root mean squares in units of the column's standard deviation over the
    training rows, and those of classes the fraction that is wrong, both averaged over columns. They
    are compared with the mean (of classes the most frequent one) and with scikit-learn's
    `IterativeImputer` (with ridge regressions, and with random forests of 20 trees in 3 rounds) and
    `KNNImputer` (5 neighbours), fitted to the training rows with classes one-hot. Coverage is the
    fraction of held-out numbers inside the central intervals of 50, 80 and 90 %, and calibration
    that of the classes' probabilities.

    Raises:
        UserError: The data are not a table, a model needs something given, or scikit-learn is not
            installed.
    """
    if run.model.conditions:
        raise UserError("--analysis=imputation is for models without conditions; not for a cvae")
    train, table = run.table("train"), run.table(settings.split)
    names = {modality.name for modality in run.model.modalities}
    if names != set(table.schema.modalities):
        raise UserError("--analysis=imputation is for models of all of a table's modalities")
    frame = table.frame.iloc[: settings.max_examples]
    # Of a small table each row comes several times, without other cells each time.
    times = max(1, min(_MOST_ROUNDS, _ENOUGH_ROWS // len(frame)))
    table = Table(frame.iloc[np.tile(np.arange(len(frame)), times)], table.schema)
    holes, taken = held_out(table, seed=settings.seed)
    bounds = [p for level in _INTERVALS for p in ((1 - level) / 2, (1 + level) / 2)]
    results: dict[str, Any] = {}
    found = run.model.impute(holes, settings.num_samples, bounds, settings.seed)
    weighed = run.model.impute(holes, settings.num_samples, bounds, settings.seed, importance=True)
    estimates = {"model": found.mean, "model, importance weights": weighed.mean}
    estimates |= baseline_estimates(train, holes, settings)
    for name, estimate in estimates.items():
        results |= _errors(name, train, table, taken, estimate)
    results |= _coverages("model", table, taken, found)
    results |= _coverages("model, importance weights", table, taken, weighed)
    results |= _calibration(table, taken, found.probabilities)
    return results


def baseline_estimates(train: Table, holes: Table, settings: Settings) -> dict[str, Any]:
    """Returns what other imputers say of every cell, data frames in the table's units.

    Args:
        train: The rows to learn from.
        holes: The rows to fill.
        settings: For progress and the seed.

    Raises:
        UserError: scikit-learn is not installed.
    """
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
    found, units = {}, _units(train)
    for name, (imputer, drop) in settings.progress(
        imputers.items(), desc="imputers", total=len(imputers)
    ):
        with warnings.catch_warnings():  # that a few rounds were not enough
            warnings.simplefilter("ignore")
            filled = imputer.fit(_matrix(train, drop, units)).transform(_matrix(holes, drop, units))
        found[name] = _frame(holes, filled, drop, units)
    return found


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


def _errors(
    name: str, train: Table, table: Table, taken: Any, estimates: Any
) -> dict[str, dict[str, Any]]:
    """Returns the mean errors of numbers and of classes, over columns."""
    numbers, classes, cells, class_cells = [], [], 0, 0
    for column in table.schema.columns.values():
        chosen = taken[column.name].to_numpy()
        if not chosen.any():
            continue
        truth, guess = (f[column.name].to_numpy()[chosen] for f in (table.frame, estimates))
        if column.is_class:
            right = column.encode(table.frame[column.name])[chosen]
            classes.append(float((right != column.encode(estimates[column.name])[chosen]).mean()))
            class_cells += int(chosen.sum())
            continue
        spread = float(np.nanstd(np.asarray(train.frame[column.name], np.float64)))
        error = np.asarray(truth, np.float64) - np.asarray(guess, np.float64)
        numbers.append(float(np.sqrt((error**2).mean()) / (spread or 1.0)))
        cells += int(chosen.sum())
    found = {}
    if numbers:
        value, error = mean_and_error(np.array(numbers))
        entry = {"value": value, "standard_error": error, "examples": cells, "unit": "sd"}
        found[f"error of numbers, {name}"] = entry
    if classes:
        value, error = mean_and_error(np.array(classes))
        found[f"wrong classes, {name}"] = {
            "value": value,
            "standard_error": error,
            "examples": class_cells,
        }
    return found


def _coverages(name: str, table: Table, taken: Any, found: Any) -> dict[str, dict[str, Any]]:
    """Returns the fraction of held-out numbers inside each interval."""
    results = {}
    for level in _INTERVALS:
        inside, number = 0, 0
        low, high = (found.quantiles[p] for p in ((1 - level) / 2, (1 + level) / 2))
        for column in table.schema.columns.values():
            chosen = taken[column.name].to_numpy()
            if column.is_class or not chosen.any():
                continue
            truth, *ends = (
                np.asarray(f[column.name].to_numpy()[chosen], np.float64)
                for f in (table.frame, low, high)
            )
            inside += int(((truth >= ends[0]) & (truth <= ends[1])).sum())
            number += int(chosen.sum())
        if number:
            results[f"numbers inside the {level:.0%} interval, {name}"] = share(inside, number)
    return results


def _calibration(
    table: Table, taken: Any, probabilities: Mapping[Any, Any]
) -> dict[str, dict[str, Any]]:
    """Returns the expected calibration error of classes, over ten bins of confidence."""
    confidence, right = [], []
    for name, chances in probabilities.items():
        chosen = taken[name].to_numpy()
        values = chances.to_numpy()[chosen]
        truth = table.schema.columns[name].encode(table.frame[name])[chosen]
        confidence.append(values.max(axis=1))
        right.append(values.argmax(axis=1) == truth)
    if not confidence or not sum(map(len, confidence)):
        return {}
    confidence, right = np.concatenate(confidence), np.concatenate(right)
    bins = np.minimum((confidence * 10).astype(int), 9)
    gaps = [abs(float((confidence[bins == b] - right[bins == b]).sum())) for b in np.unique(bins)]
    value = sum(gaps) / len(right)
    entry = {"value": value, "standard_error": float("nan"), "examples": len(right)}
    return {"calibration error of classes, model": entry}
