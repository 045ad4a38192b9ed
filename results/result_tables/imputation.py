"""Cells of tables that were held out, next to what other imputers say of them."""

from result_tables.generation import figure
from result_tables.kept import Result, reported, table

_METHODS = (
    "model",
    "model, importance weights",
    "mean or mode",
    "IterativeImputer",
    "random forests",
    "KNNImputer",
)
_ERRORS = ("error of numbers", "wrong classes")
_LEVELS = ("50%", "80%", "90%")


def imputation_tables(results: list[Result]) -> str:
    """The tables of errors and of coverages, a run a row."""
    found = reported(results, "imputation")
    if not found:
        return "No run yet."
    errors, intervals = [], []
    for run, report in found:
        name, got = run.name.removeprefix("imputation-"), report["results"]
        for what in _ERRORS:
            cells = [figure(got.get(f"{what}, {method}")) for method in _METHODS]
            errors.append([name, what, *cells])
        inside = (f"numbers inside the {level} interval, model" for level in _LEVELS)
        calibration = "calibration error of classes, model"
        intervals.append([name, *(figure(got.get(key)) for key in (*inside, calibration))])
    head = [f"inside the {level} interval" for level in _LEVELS]
    return "\n\n".join(
        [
            table(["table", "what", *_METHODS], errors),
            table(["table", *head, "calibration error of classes"], intervals),
        ]
    )
