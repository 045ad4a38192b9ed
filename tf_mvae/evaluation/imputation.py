"""Imputation of held-out cells of a table: errors, coverage of intervals, calibration."""

from typing import Any

import numpy as np

from tf_mvae.data.survival_columns import event_columns
from tf_mvae.data.tables import Table
from tf_mvae.errors import UserError
from tf_mvae.evaluation.imputation_baselines import Baselines, fit_baselines
from tf_mvae.evaluation.imputation_calibration import (
    class_calibration,
    coverage_curve,
    coverages,
    transform_histogram,
)
from tf_mvae.evaluation.imputation_cells import HeldOut
from tf_mvae.evaluation.imputation_errors import REFERENCE, errors
from tf_mvae.evaluation.imputation_ranks import PROBABILITIES, Ranks
from tf_mvae.evaluation.registry import analysis
from tf_mvae.evaluation.run import Run
from tf_mvae.evaluation.settings import Settings
from tf_mvae.settings import Setting

__all__ = ["analyze", "held_out", "without_modality"]

_FRACTION = 0.2
_MOST_MODALITIES = 8
_MOST_ROUNDS, _ENOUGH_ROWS = 10, 1500


def held_out(table: Table, fraction: float = _FRACTION, seed: int = 0) -> tuple[Table, Any]:
    """Removes random observed cells from a table.

    A row keeps at least one cell.

    Args:
        table: The table.
        fraction: The fraction of observed cells of the schema's columns to remove.
        seed: The seed of the random choice.

    Returns:
        The table with removed cells missing, and a bool data frame of its columns, true for removed
        cells.
    """
    frame = table.frame[list(table.schema.columns)]
    observed = ~table.schema.missing_cells(table.frame)
    rng = np.random.default_rng([seed, 23])
    draw = np.where(observed, rng.uniform(size=frame.shape), np.inf)
    taken = draw < fraction
    kept = observed.to_numpy() & ~taken
    # A row that would lose all its cells keeps the one with the largest number.
    last = np.where(observed, draw, -np.inf).argmax(axis=1)
    empty = ~kept.any(axis=1)
    taken[empty, last[empty]] = False
    taken = type(frame)(taken, frame.index, frame.columns)
    return _without(table, frame, taken), taken


def without_modality(table: Table, name: str) -> tuple[Table, Any]:
    """Removes a modality from a table, in all rows with another observed modality.

    Args:
        table: The table.
        name: The modality.

    Returns:
        As `held_out`.
    """
    frame = table.frame[list(table.schema.columns)]
    observed = ~table.schema.missing_cells(table.frame)
    own = [column.name for column in table.schema.of(name)]
    taken = observed & False
    others = observed.drop(columns=own).any(axis=1)
    taken[own] = observed[own].mul(others, axis=0)
    return _without(table, frame, taken), taken


def _without(table: Table, frame: Any, taken: Any) -> Table:
    """Returns a table without the cells that `taken` marks; covariates stay."""
    holes = frame.mask(taken).copy()  # of one block: columns are added to many blocks slowly
    for name in [*table.schema.covariates, *event_columns(table.schema)]:
        holes[name] = table.frame[name].array
    return Table(holes, table.schema)


WHOLE_MODALITIES = Setting(
    "whole_modalities", True, "Whether complete modalities are held out too, one by one."
)


@analysis(
    "imputation",
    "cells of a table that are held out, compared with simple guesses and scikit-learn's imputers",
    num_samples=200,
    settings=(WHOLE_MODALITIES,),
)
def analyze(run: Run, settings: Settings) -> dict[str, Any]:
    """Holds out a fifth of a table's observed cells and fills them; the `imputation` analysis.

    With fewer than 1,500 rows this is repeated up to ten times, with different cells each time.
    Then, if there are several modalities and `--nowhole_modalities` is not given, each complete
    modality (of the first 8) is held out from the rows with another observed modality.

    The error of numbers is the root mean square in units of the column's standard deviation over
    the training rows; the error of classes is the fraction of wrong ones. Both are averaged over
    columns. They are compared with the mean (for classes: the most frequent class) and with
    scikit-learn's `IterativeImputer` (ridge regressions, and random forests of 20 trees) and
    `KNNImputer` (5 neighbours), fitted to the training rows with one-hot classes; the results have
    the number of `rounds` of iterative imputers, and differences from the model.
    `tf_mvae.evaluation.imputation_calibration` measures the coverage of central intervals and the
    probability integral transform of held-out numbers, and the calibration error of classes, next
    to what a perfectly calibrated model scores on as many cells.

    Standard errors are over the rows of the table, which are independent; cells of one row, and the
    repeats of a row, are not.

    Survival times are among neither: of them the results have `tf_mvae.evaluation.concordance`,
    which censored times are part of. The other imputers take these for times of events.

    Raises:
        UserError: The data are not a table, a model needs something given, or scikit-learn is not
            installed.
    """
    if run.model.conditions:
        raise UserError(
            "--analysis=imputation is for models without conditions, so not for a cvae; choose "
            "another --analysis"
        )
    train, table = run.table("train"), run.table(settings.split)
    names = {modality.name for modality in run.model.modalities}
    if names != set(table.schema.modalities):
        missing = ", ".join(sorted(set(table.schema.modalities) - names))
        raise UserError(
            "--analysis=imputation needs a model of all modalities of the table; this one has no "
            f"{missing}"
        )
    frame = table.frame.iloc[: settings.max_examples]
    # The rows of a small table are repeated, and lose different cells each time.
    times = max(1, min(_MOST_ROUNDS, _ENOUGH_ROWS // len(frame)))
    table = Table(frame.iloc[np.tile(np.arange(len(frame)), times)], table.schema)
    holes, taken = held_out(table, seed=settings.seed)
    held = HeldOut.of(table, taken, times)
    how = (settings.num_samples, PROBABILITIES, settings.seed)
    model, imputed = run.model, {REFERENCE: run.model.impute(holes, *how)}
    if model.proposing_sampler is model.sampler:  # weights need its density
        weighed = model.impute(holes, *how, importance=True)
        imputed[f"{REFERENCE}, importance weights"] = weighed
    estimates = {name: own.mean for name, own in imputed.items()}
    baselines = fit_baselines(train, settings)
    results = _errors(held, train, estimates, holes, baselines)
    for name, own in imputed.items():
        ranks = Ranks.of(held, own)
        results |= coverages(name, ranks)
        results |= coverage_curve(name, ranks, settings.seed)
        results |= transform_histogram(name, ranks, settings.seed)
    results |= class_calibration(held, imputed[REFERENCE].probabilities, settings.seed)
    if len(names) > 1 and settings.value(WHOLE_MODALITIES):
        results |= _whole_modalities(run, train, Table(frame, table.schema), baselines, settings)
    return results


def _whole_modalities(
    run: Run, train: Table, table: Table, baselines: Baselines, settings: Settings
) -> dict[str, Any]:
    """Returns errors and coverages of complete modalities that are held out one by one."""
    results: dict[str, Any] = {}
    names = list(table.schema.modalities)[:_MOST_MODALITIES]
    for modality in settings.progress(names, desc="modalities", total=len(names)):
        holes, taken = without_modality(table, modality)
        if not taken.any(axis=None):
            continue
        held = HeldOut.of(table, taken)
        found = run.model.impute(holes, settings.num_samples, PROBABILITIES, settings.seed)
        own = _errors(held, train, {REFERENCE: found.mean}, holes, baselines)
        for key, entry in own.items():
            what, _, method = key.partition(", ")
            if method.endswith(less := f" less {REFERENCE}"):
                what, method = f"{what}, less the model's", method.removesuffix(less)
            cell = [f"modality held out, {what}", modality, method]
            results[f"{modality} held out: {key}"] = {**entry, "cell": cell}
        for key, entry in coverages(REFERENCE, Ranks.of(held, found)).items():
            cell = ["modality held out", modality, key.removesuffix(f", {REFERENCE}")]
            results[f"{modality} held out: {key}"] = {**entry, "cell": cell}
    return results


def _errors(
    held: HeldOut, train: Table, estimates: dict[str, Any], holes: Table, baselines: Baselines
) -> dict[str, Any]:
    """Returns the errors of the model and of baselines, these with their numbers of rounds."""
    results = errors(held, train, estimates | baselines.fill(holes))
    for key, entry in results.items():
        rounds = baselines.rounds.get(key.partition(", ")[2])
        if rounds is not None:
            entry |= {"rounds": rounds, "note": f"{entry['note']}, {rounds} rounds"}
    return results
