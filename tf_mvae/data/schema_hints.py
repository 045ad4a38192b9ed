"""Hints at columns of a table whose inferred or written type may not be what they are."""

import re
from collections.abc import Container
from typing import Any

import numpy as np

from tf_mvae.data.column import Column
from tf_mvae.data.schema import Schema
from tf_mvae.data.schema_inference import number_column

__all__ = ["type_hints", "unit_hints"]

_MOST_HINTS = 20
_MOST_IDS = 3  # in a table of more columns with different integers these are measurements
_FEWEST_ROWS = 20  # of which different integers may be names
_NAMES = {"id", "ids", "zip", "zipcode", "postcode", "postal", "plz", "code", "codes", "icd"}
_FACTOR = 10.0  # by which a unit differs from that of the numbers
_FIX = "if they are codes, remove the column, or put a letter before each to make them classes"


def type_hints(schema: Schema, frame: Any, codes: Container[Any] = ()) -> list[str]:
    """Returns a line for each column of an inferred schema that may be something else.

    These are numbers with a decimal comma, which are text and therefore classes, and names and
    codes of digits (row ids, zip codes, `007`), which are numbers.

    Args:
        schema: The schema.
        frame: The data frame that it was inferred from.
        codes: Columns whose integers begin with zeros in the file.
    """
    found, different = {}, []
    for name, column in schema.columns.items():
        observed = frame[name].dropna()
        if column.is_class:
            if _have_decimal_commas(column):
                found[name] = (
                    f"column {name!r} holds numbers with a comma, such as "
                    f"{column.categories[0]!r}, which are classes; write a decimal point"
                )
        elif column.type in ("real", "count") and _are_integers(observed):
            if name in codes:
                found[name] = f"column {name!r} holds numbers that begin with 0, as 007; {_FIX}"
            elif _NAMES & set(_words(name)):
                found[name] = f"column {name!r} holds integers, which are taken for numbers; {_FIX}"
            elif len(observed) > _FEWEST_ROWS and observed.is_unique:
                different.append(name)
    for name in different if len(different) <= _MOST_IDS else []:
        found[name] = f"column {name!r} holds another integer in every row; {_FIX}"
    return _shortened(list(found.values()))


def unit_hints(schema: Schema, frame: Any) -> list[str]:
    """Returns a line for each column of a written schema whose unit is not that of its numbers.

    Args:
        schema: The schema, of which a type may have been changed without the unit.
        frame: The training rows.
    """
    found = []
    for name, column in schema.columns.items():
        if column.type not in ("real", "positive") or name not in frame.columns:
            continue
        cells = frame[name].dropna()
        numbers = np.asarray(cells[column.holds(cells)], np.float64)
        if len(numbers) < 2 or not numbers.std() > 0:
            continue
        usual = number_column(name, numbers, column.type)
        if not _is_near(column, usual):
            found.append(
                f"column {name!r} is {column.type}, and the unit in the schema is not that of its "
                f'numbers; write "loc": {usual.loc:.6g}, "scale": {usual.scale:.6g} there'
            )
    return _shortened(found)


def _is_near(column: Column, usual: Column) -> bool:
    """Says whether a column's unit is about the usual one, and not that of another type."""
    if column.type == "positive" and column.loc:
        return False
    if column.type == "real" and (column.loc, column.scale) == (0, 1) and column.mean != 1:
        return False  # a count's
    ratio = usual.scale / column.scale
    offset = abs(usual.loc - column.loc) / column.scale
    return 1 / _FACTOR <= ratio <= _FACTOR and offset <= _FACTOR


def _have_decimal_commas(column: Column) -> bool:
    """Says whether classes are numbers, of which some have a comma."""
    text = [str(value).strip() for value in column.categories]
    pattern = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?")
    return all(map(pattern.fullmatch, text)) and any("," in value for value in text)


def _are_integers(observed: Any) -> bool:
    try:
        numbers = np.asarray(observed, np.float64)
    except (TypeError, ValueError):
        return False
    return bool(np.all(numbers == np.round(numbers)))


def _words(name: Any) -> list[str]:
    """Returns the words of a name such as `patient_id`, `patientId` or `Patient ID`."""
    return [word.lower() for word in re.findall("[A-Z]?[a-z]+|[A-Z]+", str(name))]


def _shortened(hints: list[str]) -> list[str]:
    more = len(hints) - _MOST_HINTS
    return hints if more <= 0 else [*hints[:_MOST_HINTS], f"{more} more columns are of this kind"]
