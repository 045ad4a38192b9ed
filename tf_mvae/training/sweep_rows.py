"""The rows of a sweep: one result each, on disk as soon as there is one."""

import csv
import dataclasses
import io
import pathlib
import statistics
from collections.abc import Iterable, Iterator

from tf_mvae import files
from tf_mvae.errors import UserError

__all__ = ["Row", "Rows", "accuracy_table", "average"]


@dataclasses.dataclass(frozen=True)
class Row:
    """What one method made of one set of paired examples.

    Attributes:
        method: Its name.
        paired_fraction: Share of the training examples that stayed whole.
        seed: Of the choice of examples and of the method.
        paired_examples: How many these were.
        accuracy: Share of the test examples whose class it names right.
        test_examples: How many these are.
        steps: Of the optimizer; 0 where there are none.
        seconds: What it took.
    """

    method: str
    paired_fraction: float
    seed: int
    paired_examples: int
    accuracy: float
    test_examples: int
    steps: int
    seconds: float

    @property
    def key(self) -> tuple[str, float, int]:
        """What distinguishes rows."""
        return self.method, self.paired_fraction, self.seed


class Rows:
    """The CSV file of a sweep's rows, written whole at every change."""

    def __init__(self, path: pathlib.Path):
        """Reads what is there.

        Args:
            path: The file; it need not be there yet.

        Raises:
            UserError: It is no such file.
        """
        self._path = path
        self._rows: dict[tuple[str, float, int], Row] = {}
        if path.exists():
            for row in _read(path):
                self._rows[row.key] = row

    def __contains__(self, key: tuple[str, float, int]) -> bool:
        """Says whether a row exists."""
        return key in self._rows

    def __iter__(self) -> Iterator[Row]:
        """Goes through the rows in the order in which they came."""
        return iter(self._rows.values())

    def add(self, row: Row) -> None:
        """Adds a row; it is on disk when this returns."""
        self._rows[row.key] = row
        text = io.StringIO()
        writer = csv.DictWriter(text, [field.name for field in dataclasses.fields(Row)])
        writer.writeheader()
        writer.writerows(dataclasses.asdict(each) for each in self)
        files.write_text(self._path, text.getvalue())


def average(rows: Iterable[Row]) -> dict[tuple[str, float], tuple[float, float | None, int]]:
    """Averages over seeds.

    Returns:
        By method and fraction, in the order in which they came: the mean accuracy, its
        standard deviation over seeds (None for one seed), and how many seeds there are.
    """
    found: dict[tuple[str, float], list[float]] = {}
    for row in rows:
        found.setdefault((row.method, row.paired_fraction), []).append(row.accuracy)
    return {
        key: (statistics.mean(v), statistics.stdev(v) if len(v) > 1 else None, len(v))
        for key, v in found.items()
    }


def accuracy_table(rows: Iterable[Row]) -> str:
    """Returns a Markdown table: fractions in rows, methods in columns, accuracies in per cent.

    Several seeds give a mean and its standard deviation over them.
    """
    found = average(rows)
    methods = list(dict.fromkeys(method for method, _ in found))
    paired = {row.paired_fraction: row.paired_examples for row in rows}
    lines = [["paired", *methods], ["---"] * (1 + len(methods))]
    for fraction in sorted(paired):
        cells = [f"{100 * fraction:g} % ({paired[fraction]:,})"]
        for method in methods:
            mean, deviation, _ = found.get((method, fraction), (None, None, 0))
            cell = "-" if mean is None else f"{100 * mean:.1f}"
            cells.append(cell if deviation is None else f"{cell} ± {100 * deviation:.1f}")
        lines.append(cells)
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _read(path: pathlib.Path) -> list[Row]:
    kinds = {field.name: field.type for field in dataclasses.fields(Row)}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [
                Row(**{name: kinds[name](value) for name, value in line.items()})
                for line in csv.DictReader(file)
            ]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise UserError(f"{path} is no table of a sweep: {error}") from error
