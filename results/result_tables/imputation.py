"""Cells of tables that were held out, next to what other imputers say of them."""

import math
import re
from typing import Any

from result_tables.generation import figure
from result_tables.kept import Result, reported, table
from tf_mvae.evaluation.imputation_calibration import LEVELS, central_fraction, of_calibrated
from tf_mvae.evaluation.imputation_errors import difference_key

_METHODS = (
    "model",
    "model, importance weights",
    "mean or mode",
    "IterativeImputer",
    "random forests",
    "KNNImputer",
)
_ERRORS = ("error of numbers", "wrong classes")
_LEVELS = tuple(f"{level:.0%}" for level in LEVELS)
_NOTE_OF_OLD = (
    "Evaluated by an earlier version: {}. Their figures are without ±, because standard errors "
    "were not over rows. Their intervals were too narrow: with K samples an exact model has "
    "`level (K - 1) / (K + 1)` of the numbers inside (200 samples: 49.5, 79.2 and 89.1 %). Where "
    "the training table has no gaps, their IterativeImputer and random forests ran one round."
)


def imputation_tables(results: list[Result]) -> str:
    """The tables of errors, of their differences and of coverages, a run a row, and a note."""
    found = reported(results, "imputation")
    if not found:
        return "No run yet."
    errors, differences, intervals, old = [], [], [], []
    calibration = "calibration error of classes, model"
    for run, report in found:
        name, got = _table_name(run), report["results"]
        for what in _ERRORS:
            cells = [_figure(got.get(f"{what}, {method}")) for method in _METHODS]
            errors.append([name, what, *cells])
            others = [_figure(got.get(difference_key(what, other))) for other in _METHODS[1:]]
            if set(others) != {"-"}:
                differences.append([name, what, *others])
        inside = (f"numbers inside the {level} interval, model" for level in _LEVELS)
        coverages = [_figure(got.get(key)) for key in inside]
        classes = [figure(got.get(key)) for key in (calibration, of_calibrated(calibration))]
        intervals.append([name, *coverages, *_central(got), *classes])
        old += [name] * _is_old(got)
    for run, report in reported(results, "intervals"):
        got = report["results"]
        inside = (f"numbers inside the {level} interval" for level in _LEVELS)
        cells = [_figure(got.get(key)) for key in inside]
        intervals.append([f"{run.config.experiment} (exact posterior known)", *cells, *["-"] * 5])
        old += [run.config.experiment] * _is_old(got)
    less = [f"{method} less model" for method in _METHODS[1:]]
    head = [f"inside the {level} interval" for level in _LEVELS]
    head += [f"PIT in the central {level}" for level in _LEVELS]
    head += ["calibration error of classes", "of a perfectly calibrated model"]
    parts = [table(["table", "what", *_METHODS], errors)]
    parts += [table(["table", "what", *less], differences)] * bool(differences)
    parts += [table(["table", *head], intervals), _NOTE_OF_OLD.format(", ".join(old))]
    return "\n\n".join(parts if old else parts[:-1])


def prediction_tables(results: list[Result]) -> str:
    """The tables of classes that are predicted from each subset of assays, one a run."""
    found = reported(results, "label_prediction")
    tables = []
    for run, report in found:
        rows: dict[str, dict[str, str]] = {}
        sizes = {}
        for one in report["results"].values():
            what, subset, method = one["cell"]
            rows.setdefault(subset, {})[method] = figure(one)
            sizes[subset] = f"{one['rows']} / {one['examples']}"
        methods = list(dict.fromkeys(method for row in rows.values() for method in row))
        head = [f"{_table_name(run)}: {what}, from", "complete rows / asked", *methods]
        body = [[s, sizes[s], *(row.get(m, "-") for m in methods)] for s, row in rows.items()]
        tables.append(table(head, body))
    return "\n\n".join(tables) or "No run yet."


def _central(results: dict[str, Any]) -> list[str]:
    """Returns the fractions of the PIT in the central intervals, as text."""
    found = [results.get(f"PIT in the central {level}, model") for level in _LEVELS]
    old = results.get("distance of the PIT from uniform, model")
    if old is not None and found[0] is None:
        values = [central_fraction(old["histogram"], level) for level in LEVELS]
        found = [{"value": value, "standard_error": math.nan} for value in values]
    return [_figure(one) for one in found]


def _figure(result: dict[str, Any] | None) -> str:
    """Writes a figure, with its standard error if that is over rows."""
    if result is not None and "rows" not in result:
        result = {**result, "standard_error": math.nan}
    return figure(result)


def _is_old(results: dict[str, Any]) -> bool:
    """Says whether standard errors were computed otherwise than over rows."""
    return not any("rows" in one for one in results.values())


def _table_name(run: Result) -> str:
    return re.split(r"[./]", run.config.table or run.name)[0]
