"""Evaluations in a file and on the terminal."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from absl import logging

from tf_mvae import files

__all__ = ["read_report", "table", "update_report"]


def update_report(path: pathlib.Path, analyses: Mapping[str, Any]) -> dict[str, Any]:
    """Writes analyses into a JSON file, beside those that are there under other names.

    The file is written whole or not at all; one that is damaged is replaced, and kept as
    `NAME.damaged.json`. Results that are
    replaced by those of other settings (of fewer examples, say) go to a file beside it,
    `NAME_replaced.jsonl`, a line each.

    Args:
        path: The file.
        analyses: By name, `{"settings": ..., "results": ...}`.

    Returns:
        What the file holds now.
    """
    report = read_report(path)
    if report is None:
        report, damaged = {}, path.with_name(f"{path.stem}.damaged{path.suffix}")
        logging.warning("%s is damaged: it is begun anew, and kept as %s", path, damaged.name)
        path.replace(damaged)
    replaced = {
        name: report[name]
        for name, analysis in analyses.items()
        if name in report and report[name]["settings"] != analysis["settings"]
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


def read_report(path: pathlib.Path) -> dict[str, Any] | None:
    """Reads what `update_report` wrote.

    Args:
        path: The file.

    Returns:
        Analyses by name, none if the file is not there; None if it is damaged.
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
    """Returns results as aligned lines: shares in per cent, others in their units.

    A result's `note` stands behind its name.
    """
    rows = [("analysis", "what", "value", "error", "examples")]
    for analysis, content in analyses.items():
        for name, result in content["results"].items():
            unit = result.get("unit", "%")
            scale, digits = (100, 2) if unit == "%" else (1, 3)
            value, error = scale * result["value"], scale * result["standard_error"]
            name += f" ({result['note']})" if "note" in result else ""
            numbers = (
                f"{value:.{digits}f} {unit}".rstrip(),
                f"{error:.{digits}f}",
                str(result["examples"]),
            )
            rows.append((analysis, name, *numbers))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = []
    for row in rows:
        left = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
        lines.append("  ".join(left + right))
    return "\n".join(lines)
