"""Cells of a table that were held out, and the row that each is of."""

from typing import Any, NamedTuple

import numpy as np

from tf_mvae.data.tables import Table

__all__ = ["HeldOut"]


class HeldOut(NamedTuple):
    """Cells that were held out of a table, whose rows may be repeated.

    Cells of one row depend on each other, and so do those of its repeats: standard errors are over
    the original rows.

    Attributes:
        table: The table with all observed cells.
        taken: A bool data frame of the schema's columns, true for held-out cells.
        rows: The original row of each row of the table, from 0 on, `[rows]`.
    """

    table: Table
    taken: Any
    rows: np.ndarray

    @classmethod
    def of(cls, table: Table, taken: Any, repeats: int = 1) -> "HeldOut":
        """Makes one of a table whose rows are repeated as a whole.

        Args:
            table: The table: its rows, then the same again.
            taken: See above.
            repeats: How many times it has each row.
        """
        places = np.arange(len(table.frame))
        return cls(table, taken, places % max(1, len(places) // repeats))

    def chosen(self, column: Any) -> np.ndarray:
        """Returns the places of a column's held-out cells in the table, `[cells]`.

        Args:
            column: The column's name.
        """
        return np.flatnonzero(self.taken[column].to_numpy())

    def same_cells(self, column: Any) -> np.ndarray:
        """Returns a number for each held-out cell of a column, the same for its repeats, `[cells]`.

        Args:
            column: The column's name. Numbers differ between columns.
        """
        place = list(self.table.schema.columns).index(column)
        return self.rows[self.chosen(column)] * len(self.table.schema.columns) + place
