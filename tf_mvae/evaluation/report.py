"""Reports of evaluations: the JSON file, and tables on the terminal."""

import json
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from absl import logging

from tf_mvae import files

__all__ = ["read_report", "table", "update_report"]

_UNKNOWN = "-"  # a standard error


def update_report(path: pathlib.Path, analyses: Mapping[str, Any]) -> dict[str, Any]:
    """Adds analyses to a JSON file; an analysis of the same name is replaced.

    The file is written atomically. A damaged file is renamed to `NAME.damaged.json`, and a new one
    is written. Replaced results that have other settings (fewer examples, say) are appended to
    `NAME_replaced.jsonl`, one line each.

    Args:
        path: The file.
        analyses: By name, `{"settings": ..., "results": ...}`.

    Returns:
        The file's new contents.

    Example:
    ```python
    import pathlib

    results = {"label | image": {"value": 0.9, "standard_error": 0.1, "examples": 10}}
    found = {"accuracy": {"settings": {"split": "test"}, "results": results}}
    report = update_report(pathlib.Path("evaluation.json"), found)
    print(table(report))  # a line "accuracy  label | image  90.00 %  10.00  10"
    ```
    """
    report = read_report(path)
    if report is None:
        report, damaged = {}, path.with_name(f"{path.stem}.damaged{path.suffix}")
        logging.warning(
            "%s is damaged; it is renamed to %s, and a new file is written", path, damaged.name
        )
        path.replace(damaged)
    replaced = {
        name: report[name]
        for name, analysis in analyses.items()
        if name in report and report[name]["settings"] != _as_read(analysis["settings"])
    }
    if replaced:
        history = path.with_name(f"{path.stem}_replaced.jsonl")
        with history.open("a", encoding="utf-8") as file:
            file.writelines(
                json.dumps({n: old}, sort_keys=True) + "\n" for n, old in replaced.items()
            )
    report = {**report, **analyses}
    files.write_text(path, json.dumps(report, indent=1, sort_keys=True))
    return report


def _as_read(settings: dict[str, Any]) -> dict[str, Any]:
    """Returns settings as they are read from a file, where tuples are lists."""
    return json.loads(json.dumps(settings))


def read_report(path: pathlib.Path) -> dict[str, Any] | None:
    """Reads a file of `update_report`.

    Args:
        path: The file.

    Returns:
        Analyses by name (an empty dictionary if the file is missing), or None if it is damaged.
    """
    if not path.exists():
        return {}
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        parts = [(part["settings"], part["results"]) for part in report.values()]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return report if all(isinstance(each, dict) for pair in parts for each in pair) else None


def table(analyses: Mapping[str, Any]) -> str:
    """Formats results as aligned lines: fractions in per cent, others in their units.

    A result's `note` follows its name in parentheses. Results with a `cell`, `[table, row,
    column]`, are printed below in tables of rows and columns, each with its standard error.

    Args:
        analyses: By name, `{"results": ...}`; the contents of a report.
    """
    rows = [("analysis", "what", "value", "error", "examples")]
    for analysis, name, result in _results(analyses):
        if "cell" not in result:
            name += f" ({result['note']})" if "note" in result else ""
            value, error, unit = _written(result)
            number = str(result["examples"])
            rows.append((analysis, name, f"{value} {unit}".rstrip(), error, number))
    lines = [_aligned(rows, left=2)] if len(rows) > 1 or not analyses else []
    grids: dict[tuple[str, str], dict[str, dict[str, str]]] = {}
    for analysis, _, result in _results(analyses):
        if "cell" in result:
            title, row, column = result["cell"]
            value, error, unit = _written(result)
            number = value if error == _UNKNOWN else f"{value} +- {error}"
            cell = f"{number} {unit}".rstrip()
            grids.setdefault((analysis, title), {}).setdefault(row, {})[column] = cell
    lines += [_grid(": ".join(title), cells) for title, cells in grids.items()]
    return "\n\n".join(lines)


def _grid(title: str, cells: Mapping[str, Mapping[str, str]]) -> str:
    """Formats cells by row and column as a table; a missing cell is `-`."""
    columns = list(dict.fromkeys(column for row in cells.values() for column in row))
    rows = [(name, *(row.get(column, "-") for column in columns)) for name, row in cells.items()]
    return _aligned([(title, *columns), *rows], left=1)


def _aligned(rows: Sequence[tuple[str, ...]], left: int) -> str:
    """Returns rows as lines; the first `left` columns are flush left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells))
    return "\n".join(lines)


def _results(analyses: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yields the analysis, the name and the result of all results."""
    for analysis, content in analyses.items():
        for name, result in content["results"].items():
            yield analysis, name, result


def _written(result: Mapping[str, Any]) -> tuple[str, str, str]:
    """Formats a result's value, standard error and unit."""
    unit = result.get("unit", "%")
    scale, digits = (100, 2) if unit == "%" else (1, 3)
    value, error = scale * result["value"], scale * result["standard_error"]
    known = _UNKNOWN if math.isnan(error) else f"{error:.{digits}f}"
    return f"{value:.{digits}f}", known, unit
