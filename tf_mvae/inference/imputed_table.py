"""Imputed values of a table, as data frames in the table's own units."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from tf_mvae.data.column import Column, class_value
from tf_mvae.data.survival_columns import event_columns, filled_events
from tf_mvae.data.tables import Table
from tf_mvae.inference.imputation import Imputation

__all__ = ["ImputedTable"]


class ImputedTable(NamedTuple):
    """A filled table, and how sure a model is.

    Attributes:
        filled: The data frame that was given, with estimates in its gaps: the mean, of a class
            the most probable one, rounded in a column of integers (pandas' `Int64`), which
            remains one. Observed cells, columns that the schema excludes and the
            index are as they were. A survival time and its event are one cell, which is missing
            if either is: an estimate of the event's time and a 1 replace both.
        mean: The estimates of every cell of the schema's columns, of observed ones, too.
        standard_deviation: Of numbers; NaN for classes.
        quantiles: By probability a data frame; of categorical columns NaN.
        probabilities: By column of classes, a data frame with one column per class.
    """

    filled: Any
    mean: Any
    standard_deviation: Any
    quantiles: dict[float, Any]
    probabilities: dict[Any, Any]

    @classmethod
    def of(cls, table: Table, found: Mapping[str, Imputation]) -> "ImputedTable":
        """Imputes a table by a model.

        Args:
            table: The table.
            found: By modality.
        """
        import pandas as pd

        index = table.frame.index
        mean, deviation, probabilities = {}, {}, {}
        bounds: dict[float, dict[Any, Any]] = {}
        filled = table.frame.copy()
        missing = table.schema.missing_cells(table.frame)
        for modality, imputed in found.items():
            for place, column in enumerate(table.schema.of(modality)):
                own = [_column(a, place) for a in (imputed.mean, imputed.standard_deviation)]
                chances = _probabilities(column, own[0], imputed.probabilities.get(place))
                if chances is not None:
                    names = list(column.categories)
                    probabilities[column.name] = pd.DataFrame(chances, index, names)
                    own[0] = chances.argmax(1)
                mean[column.name] = column.decode(own[0])
                classes = np.full(len(index), np.nan)
                deviation[column.name] = classes if column.is_class else own[1] * column.scale
                for q, values in imputed.quantiles.items():
                    value = column.decode(_column(values, place))
                    ordered = column.type != "categorical"
                    bounds.setdefault(q, {})[column.name] = value if ordered else classes
                gaps = missing[column.name].to_numpy()
                if gaps.any():
                    old = table.frame[column.name]
                    filled[column.name] = _filled(column, old, gaps, mean[column.name])
                    if column.event is not None:
                        filled[column.event] = filled_events(table.frame[column.event], gaps)
        order = [name for name in table.frame.columns if name in mean]
        return cls(
            filled,
            pd.DataFrame(mean, index)[order],
            pd.DataFrame(deviation, index)[order],
            {q: pd.DataFrame(columns, index)[order] for q, columns in bounds.items()},
            probabilities,
        )

    def in_text(self, table: Table, text: Any) -> Any:
        """Returns the cells of a text file, with estimates in the gaps and the others untouched.

        What pandas makes of a file is not always what the file says: it reads `007` as 7, and `1`
        in a column with gaps as 1.0.

        Args:
            table: The table that was imputed.
            text: A data frame of the same rows and columns, with every cell as the file has it.
        """
        filled = text.astype(object)
        missing = table.schema.missing_cells(table.frame)
        for name in self.mean.columns:
            gaps = missing[name].to_numpy()
            filled.loc[gaps, name] = self.mean[name][gaps].astype(object)
        for event, column in event_columns(table.schema).items():
            gaps = missing[column.name].to_numpy()
            filled.loc[gaps, event] = [class_value(value) for value in self.filled[event][gaps]]
        return filled

    def details(self, table: Table) -> Any:
        """Returns a data frame with a row for each cell that was filled.

        Args:
            table: The table that was imputed.

        Returns:
            `row` (the index), `column`, `estimate`, `standard_deviation`, `probability` of the
            class that was filled in, and `quantile_Q` of each quantile.
        """
        import pandas as pd

        parts = []
        missing = table.schema.missing_cells(table.frame)
        names = ["row", "column", "estimate", "standard_deviation", "probability"]
        names += [f"quantile_{q:g}" for q in self.quantiles]
        for name in self.mean.columns:
            gaps = missing[name].to_numpy()
            part = {
                "row": table.frame.index[gaps],
                "column": name,
                "estimate": self.mean[name][gaps].to_numpy(),
                "standard_deviation": self.standard_deviation[name][gaps].to_numpy(),
                "probability": np.nan,
            }
            if name in self.probabilities:
                part["probability"] = self.probabilities[name][gaps].max(axis=1).to_numpy()
            part |= {f"quantile_{q:g}": v[name][gaps].to_numpy() for q, v in self.quantiles.items()}
            if gaps.any():
                parts.append(pd.DataFrame(part).astype({"estimate": object}))
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=names)


def _column(array: np.ndarray, place: int) -> np.ndarray:
    """Returns one column of a modality's array, which may be one class a row."""
    return array if array.ndim == 1 else array[:, place]


def _probabilities(column: Column, mean: np.ndarray, found: np.ndarray | None) -> np.ndarray | None:
    """Returns the probabilities of a column's classes, `[rows, classes]`; None of numbers."""
    if column.type == "binary":
        return np.stack([1 - mean, mean], axis=1)
    return found


def _filled(column: Column, old: Any, gaps: np.ndarray, estimates: np.ndarray) -> Any:
    """Returns a column with estimates in its gaps; integers remain integers."""
    estimates = estimates[gaps]
    if getattr(old.dtype, "categories", None) is not None:
        return _filled_categories(old, gaps, estimates)
    kind = getattr(old.dtype, "kind", "O")
    if kind in "iu" and not column.is_class:
        estimates = _rounded(column, old.dtype, estimates)
    values = old.astype(object)
    values[gaps] = estimates
    if kind == "f" and any(isinstance(value, bool) for value in estimates):
        return values  # an empty column of a file is one of numbers, whatever it is to hold
    try:
        return values.astype(old.dtype)
    except (TypeError, ValueError):  # as above, of text
        return values


def _rounded(column: Column, dtype: Any, estimates: np.ndarray) -> np.ndarray:
    """Returns estimates as integers that the column's type and that of pandas can hold."""
    limits = np.iinfo(getattr(dtype, "numpy_dtype", dtype))
    low, high = max(int(limits.min), column.least_integer), int(limits.max)
    found = [min(max(round(float(value)), low), high) for value in estimates]
    return np.array(found, object)


def _filled_categories(old: Any, gaps: np.ndarray, estimates: np.ndarray) -> Any:
    """Returns a column of pandas categories with classes in its gaps, new ones where it has to."""
    own = {class_value(category): category for category in old.cat.categories}
    found = [own.get(value, value) for value in estimates]
    new = [value for value in dict.fromkeys(found) if value not in old.cat.categories]
    values = old.cat.add_categories(new)
    values[gaps] = found
    return values
