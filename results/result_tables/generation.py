"""What models generate from each subset, next to scales and useless models."""

import math

from result_tables.kept import Result, table


def generation_tables(results: list[Result], name: str) -> str:
    """The tables of a run's `generation` analysis, as the terminal shows them."""
    grids: dict[str, dict[str, dict[str, str]]] = {}
    for result in results:
        if result.name == name:
            found = result.report["generation"]["results"]
            for one in sorted(found.values(), key=lambda one: one["place"]):
                title, row, column = one["cell"]
                grids.setdefault(title, {}).setdefault(row, {})[column] = figure(one)
    return "\n\n".join(_grid(title, rows) for title, rows in grids.items()) or "No run yet."


def figure(result: dict | None) -> str:
    """Writes a figure with its standard error, in its unit."""
    if result is None:
        return "-"
    unit = result.get("unit", "%")
    scale, digits = (100, 1) if unit == "%" else (1, 3 if abs(result["value"]) < 10 else 1)
    value, error = scale * result["value"], scale * result["standard_error"]
    known = "" if math.isnan(error) else f" ± {error:.{digits}f}"
    return f"{value:.{digits}f}{known} {unit}".strip()


def _grid(title: str, rows: dict[str, dict[str, str]]) -> str:
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    body = [[name, *(row.get(column, "-") for column in columns)] for name, row in rows.items()]
    return table([title, *columns], body)
