"""The rows of a sweep, one result each, and the CSV file that records them."""

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
    """The result of one method for one set of paired examples.

    Attributes:
        method: The method's name.
        paired_fraction: The fraction of training examples that stay complete.
        seed: The seed of the choice of examples and of the method.
        paired_examples: The number of complete training examples.
        accuracy: The fraction of test examples whose class is predicted right.
        test_examples: The number of test examples.
        steps: The number of optimizer steps; 0 if there is no optimizer.
        seconds: The time that training and evaluation took, in seconds.
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
        """The method, the fraction and the seed, which identify a row."""
        return self.method, self.paired_fraction, self.seed


class Rows:
    """The rows of a sweep and their CSV file, which is written atomically at every change."""

    def __init__(self, path: pathlib.Path):
        """Reads the rows of a file.

        Args:
            path: The file; it need not exist.

        Raises:
            UserError: The file has another format.
        """
        self._path = path
        self._rows: dict[tuple[str, float, int], Row] = {}
        if path.exists():
            for row in _read(path):
                self._rows[row.key] = row

    def __contains__(self, key: tuple[str, float, int]) -> bool:
        """Returns whether a row exists."""
        return key in self._rows

    def __iter__(self) -> Iterator[Row]:
        """Yields the rows in the order in which they were added."""
        return iter(self._rows.values())

    def add(self, row: Row) -> None:
        """Adds a row, and writes the file.

        Args:
            row: The row; it replaces a row with the same key.
        """
        self._rows[row.key] = row
        text = io.StringIO()
        writer = csv.DictWriter(text, [field.name for field in dataclasses.fields(Row)])
        writer.writeheader()
        writer.writerows(dataclasses.asdict(each) for each in self)
        files.write_text(self._path, text.getvalue())


def average(rows: Iterable[Row]) -> dict[tuple[str, float], tuple[float, float | None, int]]:
    """Averages accuracies over seeds.

    Args:
        rows: The rows of a sweep.

    Returns:
        By method and fraction, in the order of the rows: the mean accuracy, its standard
        deviation over seeds (None for one seed), and the number of seeds.
    """
    found: dict[tuple[str, float], list[float]] = {}
    for row in rows:
        found.setdefault((row.method, row.paired_fraction), []).append(row.accuracy)
    return {
        key: (statistics.mean(v), statistics.stdev(v) if len(v) > 1 else None, len(v))
        for key, v in found.items()
    }


def accuracy_table(rows: Iterable[Row]) -> str:
    """Returns a Markdown table with fractions in rows, methods in columns, accuracies in per cent.

    If there are several seeds, a cell is the mean and the standard deviation over them.

    Args:
        rows: The rows of a sweep.
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
        raise UserError(
            f"{path} is not the table of a sweep: {error}; choose another --sweep_dir"
        ) from error
