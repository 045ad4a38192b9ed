"""Cells of tables that were held out, next to what other imputers say of them."""

import re
from typing import Any

from result_tables.generation import figure
from result_tables.kept import Result, reported, table
from tf_mvae.evaluation.imputation_calibration import LEVELS, central_fraction
from tf_mvae.evaluation.statistics import share

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


def imputation_tables(results: list[Result]) -> str:
    """The tables of errors and of coverages, a run a row."""
    found = reported(results, "imputation")
    if not found:
        return "No run yet."
    errors, intervals = [], []
    for run, report in found:
        name, got = _table_name(run), report["results"]
        for what in _ERRORS:
            cells = [figure(got.get(f"{what}, {method}")) for method in _METHODS]
            errors.append([name, what, *cells])
        inside = (f"numbers inside the {level} interval, model" for level in _LEVELS)
        calibration = "calibration error of classes, model"
        coverages = [figure(got.get(key)) for key in inside]
        intervals.append([name, *coverages, *_central(got), figure(got.get(calibration))])
    for run, report in reported(results, "intervals"):
        got = report["results"]
        inside = (f"numbers inside the {level} interval" for level in _LEVELS)
        name = f"{run.config.experiment} (exact posterior known)"
        intervals.append([name, *(figure(got.get(key)) for key in inside), *["-"] * 4])
    head = [f"inside the {level} interval" for level in _LEVELS]
    head += [f"PIT in the central {level}" for level in _LEVELS]
    return "\n\n".join(
        [
            table(["table", "what", *_METHODS], errors),
            table(["table", *head, "calibration error of classes"], intervals),
        ]
    )


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
    found = results.get("distance of the PIT from uniform, model")
    if found is None:
        return ["-"] * len(LEVELS)
    number = found["examples"]
    fractions = [central_fraction(found["histogram"], level) for level in LEVELS]
    return [figure(share(round(fraction * number), number)) for fraction in fractions]


def _table_name(run: Result) -> str:
    return re.split(r"[./]", run.config.table or run.name)[0]
