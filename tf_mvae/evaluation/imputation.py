"""How well a model fills cells of a table that it does not see, and how well it knows that."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tf_mvae.data.tables import Table
from tf_mvae.errors import UserError
from tf_mvae.evaluation.imputation_baselines import fit_baselines
from tf_mvae.evaluation.imputation_calibration import (
    PROBABILITIES,
    class_calibration,
    coverage_curve,
    coverages,
    transform_histogram,
)
from tf_mvae.evaluation.registry import analysis
from tf_mvae.evaluation.run import Run
from tf_mvae.evaluation.settings import Settings
from tf_mvae.evaluation.statistics import mean_and_error

__all__ = ["analyze", "held_out", "without_modality"]

_FRACTION = 0.2
_MOST_MODALITIES = 8
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
    return _without(table, frame, taken), taken


def without_modality(table: Table, name: str) -> tuple[Table, Any]:
    """Returns a table without a modality in the rows that have something else, as `held_out`.

    Args:
        table: The table.
        name: The modality.
    """
    frame = table.frame[list(table.schema.columns)]
    observed = frame.notna()
    own = [column.name for column in table.schema.of(name)]
    taken = observed & False
    others = observed.drop(columns=own).any(axis=1)
    taken[own] = observed[own].mul(others, axis=0)
    return _without(table, frame, taken), taken


def _without(table: Table, frame: Any, taken: Any) -> Table:
    """Returns a table without what is taken from its modalities' columns."""
    holes = frame.mask(taken)
    for name in table.schema.covariates:
        holes[name] = table.frame[name].array
    return Table(holes, table.schema)


@analysis(
    "imputation",
    "cells of a table that are held out, compared with simple guesses and scikit-learn's imputers",
    num_samples=200,
)
def analyze(run: Run, settings: Settings) -> dict[str, Any]:
    """Holds out a fifth of a table's observed cells and fills them; the `imputation` analysis.

    Of fewer than 1,500 rows that is done up to ten times, with other cells each time.

    Then, if there are several modalities, each of them (of more than 8 the first) is held out as a
    whole from the rows that have another one.

    Errors of numbers are root mean squares in units of the column's standard deviation over the
    training rows, and those of classes the fraction that is wrong, both averaged over columns. They
    are compared with the mean (of classes the most frequent one) and with scikit-learn's
    `IterativeImputer` (with ridge regressions, and with random forests of 20 trees in 3 rounds) and
    `KNNImputer` (5 neighbours), fitted to the training rows with classes one-hot. Of held-out
    numbers `tf_mvae.evaluation.imputation_calibration` has the coverage of central intervals and
    the histogram of the probability integral transform, of classes the calibration error.

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
    results: dict[str, Any] = {}
    how = (settings.num_samples, PROBABILITIES, settings.seed)
    found = run.model.impute(holes, *how)
    weighed = run.model.impute(holes, *how, importance=True)
    estimates = {"model": found.mean, "model, importance weights": weighed.mean}
    fill = fit_baselines(train, settings)
    for name, estimate in (estimates | fill(holes)).items():
        results |= _errors(name, train, table, taken, estimate)
    for name, own in (("model", found), ("model, importance weights", weighed)):
        results |= coverages(name, table, taken, own)
        results |= coverage_curve(name, table, taken, own)
        results |= transform_histogram(name, table, taken, own, settings.seed)
    results |= class_calibration(table, taken, found.probabilities)
    if len(names) > 1:
        results |= _whole_modalities(run, train, Table(frame, table.schema), fill, settings)
    return results


def _whole_modalities(
    run: Run,
    train: Table,
    table: Table,
    fill: Callable[[Table], dict[str, Any]],
    settings: Settings,
) -> dict[str, Any]:
    """Returns errors and coverages of modalities that are held out one by one."""
    results: dict[str, Any] = {}
    names = list(table.schema.modalities)[:_MOST_MODALITIES]
    for modality in settings.progress(names, desc="modalities", total=len(names)):
        holes, taken = without_modality(table, modality)
        if not taken.any(axis=None):
            continue
        found = run.model.impute(holes, settings.num_samples, PROBABILITIES, settings.seed)
        for method, estimate in ({"model": found.mean} | fill(holes)).items():
            for key, entry in _errors(method, train, table, taken, estimate).items():
                what = key.removesuffix(f", {method}")
                cell = [f"modality held out, {what}", modality, method]
                results[f"{modality} held out: {key}"] = {**entry, "cell": cell}
        for key, entry in coverages("model", table, taken, found).items():
            cell = ["modality held out", modality, key.removesuffix(", model")]
            results[f"{modality} held out: {key}"] = {**entry, "cell": cell}
    return results


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
