"""Infers the types of a table's columns, and prints them."""

import datetime
from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np

from tf_mvae.data import survival_columns
from tf_mvae.data.column import Column, class_value
from tf_mvae.data.covariate_columns import COVARIATE, SIZE_FACTOR, with_roles
from tf_mvae.data.identifiers import identifier
from tf_mvae.data.missing import is_missing
from tf_mvae.data.schema import Schema
from tf_mvae.distributions.beta import PROPORTION_EDGE
from tf_mvae.errors import UserError

__all__ = ["describe_schema", "infer_schema", "number_column", "reduced"]

_MOST_GRADES = 10  # integers of more values are counts or real
_MOST_CATEGORIES = 50
_SKEW = 1.0
_OF_NUMBERS = ("real", "positive", "count", "proportion")
_COMPLEX = complex | np.complexfloating
_OF_COMPLEX = "it holds complex numbers; give real and imaginary parts a column each"
_DATES = "it holds dates or times; turn them into numbers, such as days since a date"


def infer_schema(
    frame: Any,
    modalities: str | Mapping[str, Sequence[Any]] = "one",
    types: Mapping[Any, str] | None = None,
    covariates: Sequence[Any] = (),
    size_factor: Any = None,
    survival: Mapping[Any, Any] | None = None,
) -> tuple[Schema, dict[Any, str]]:
    """Infers a schema for a data frame; also returns the excluded columns, with the reasons.

    The first matching rule gives the type of a column: two values are `binary`; other text, of
    digits too, and pandas categories are `categorical`, ordered ones `ordinal`; integers from 0 on
    with at most ten values are `ordinal`, other integers with a minimum of 0 or 1 are `count`,
    remaining integers are `real`; other numbers are `proportion` if they are between 0 and 1 and
    not above 0 and below 1e-6, `positive` if they are positive and skewed (skewness above 1), and
    `real` otherwise. Empty columns, dates, lists, infinite and complex numbers, text of more than
    50 different values or of more than ten that differ in most rows, and integers that number the
    rows are excluded.

    Args:
        frame: A pandas data frame.
        modalities: `"one"`: all columns are one modality, `table`. `"types"`: those of one type are
            one. `"columns"`: each is one. Or by modality its columns; others are excluded.
        types: By column, its type; guessed if omitted.
        covariates: Columns that are given and not modelled; they may not have gaps.
        size_factor: A column of numbers above 0 by which the means of all counts are multiplied;
            it is a covariate.
        survival: By column of survival times (never inferred) the column of their events: 1 where
            the time is that of the event, 0 where the observation ended before it. Each time is a
            modality of its own.

    Raises:
        UserError: A name is not a column's, a time or an event does not fit, or nothing is left.
    """
    if not hasattr(frame, "columns"):
        raise UserError(f"a table is a pandas data frame; this is a {type(frame).__name__}")
    _check_names(frame)
    types, survival = dict(types or {}), dict(survival or {})
    if size_factor is not None:
        types.setdefault(size_factor, "positive")
    given = [*covariates, *([] if size_factor is None else [size_factor])]
    roles = {name: COVARIATE for name in covariates}
    roles |= {} if size_factor is None else {size_factor: SIZE_FACTOR}
    wanted = list(frame.columns)
    if isinstance(modalities, Mapping):
        wanted = [name for names in modalities.values() for name in names]
        wanted += [name for name in [*given, *survival] if name not in wanted]
    elif modalities not in ("types", "one", "columns"):
        raise UserError(f"modalities is 'types', 'one', 'columns' or a dict, not {modalities!r}")
    for name in [*wanted, *types, *given, *survival, *survival.values()]:
        if name not in frame.columns:
            raise UserError(f"the table has no column {name!r}; it has {list(frame.columns)[:20]}")
    columns, left_out = {}, {}
    for name in wanted:
        if name in survival.values() and name not in [*given, *survival]:
            continue
        if name in survival:
            columns[name] = survival_columns.make_survival_column(name, survival[name], frame)
            continue
        found = _column(name, frame[name], types.get(name))
        if isinstance(found, str):
            left_out[name] = found
        else:
            columns[name] = found
    for name in given:
        if name in left_out:
            raise UserError(f"column {name!r} is no covariate: {left_out[name]}")
    modelled = {name: column for name, column in columns.items() if name not in given}
    if not modelled:
        raise UserError(f"no column of the table can be modelled: {left_out}")
    groups = _grouped(modelled, modalities)
    unnamed = set(survival) - {name for names in groups.values() for name in names} - set(given)
    groups |= {identifier(name, groups): (name,) for name in survival if name in unnamed}
    found_ones, groups = survival_columns.separated(list(columns.values()), groups, roles)
    return with_roles(Schema, found_ones, groups, roles), left_out


def _check_names(frame: Any) -> None:
    """Checks that each column has a name of its own, which a schema's file can hold."""
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise UserError(f"the table has two columns {twice[0]!r}; rename one")
    for name in frame.columns:
        if not isinstance(name, str | int | np.integer):
            raise UserError(
                f"column {name!r} is called by a {type(name).__name__}; names are text or integers"
            )


def describe_schema(schema: Schema, frame: Any, left_out: Mapping[Any, str]) -> str:
    """Returns a schema as lines of text: a column each, with what is missing."""
    lines = []
    gaps = schema.missing_cells(frame)
    for modality in schema.modalities:
        lines.append(f"modality {modality}:")
        for column in schema.of(modality):
            missing = float(gaps[column.name].mean())
            known = f", {_percent(missing)} missing" if missing else ""
            detail = ""
            if column.event is not None:
                censored = float((frame[column.event][~gaps[column.name]] == 0).mean())
                detail = f" (events {column.event}; {_percent(censored)} of the times are censored)"
            if column.is_class:
                shown = ", ".join(map(str, column.categories[:8]))
                detail = f" ({shown}{', ...' if len(column.categories) > 8 else ''})"
            lines.append(f"  {column.name}: {column.type}{detail}{known}")
    for name, column in schema.covariates.items():
        role = "size factor" if name == schema.size_factor else "covariate"
        lines.append(f"{role} {name}: {column.type}")
    lines += [f"excluded: {name} ({reason})" for name, reason in left_out.items()]
    return "\n".join(lines)


def _percent(fraction: float) -> str:
    """Returns a fraction in percent, of which only that of nothing is 0 and of all is 100."""
    if not 0 < fraction < 1 or 0.01 <= fraction <= 0.99:
        return f"{fraction:.0%}"
    return f"{min(max(fraction, 0.001), 0.999):.1%}"


def reduced(
    groups: Mapping[str, Sequence[Any]], columns: Container[Any]
) -> dict[str, tuple[Any, ...]]:
    """Returns groups of columns without those that are not among `columns`, and no empty group."""
    kept = {name: tuple(n for n in names if n in columns) for name, names in groups.items()}
    return {name: names for name, names in kept.items() if names}


def _grouped(
    columns: Mapping[Any, Column], modalities: str | Mapping[str, Sequence[Any]]
) -> dict[str, tuple[Any, ...]]:
    """Returns by modality the names of its columns."""
    if isinstance(modalities, Mapping):
        return reduced(modalities, columns)
    if modalities == "one":
        return {"table": tuple(columns)}
    found: dict[str, tuple[Any, ...]] = {}
    for name, column in columns.items():
        key = column.type if modalities == "types" else identifier(name, found)
        found[key] = (*found.get(key, ()), name)
    return found


def _column(name: Any, values: Any, kind: str | None) -> Column | str:
    """Returns a column, or why there is none."""
    observed = values[~values.isna()]
    if not len(observed):
        return "it is empty"
    dtype = getattr(values.dtype, "kind", "O")
    if dtype in "mM" or type(values.dtype).__name__ == "PeriodDtype":
        return _DATES
    several = list | tuple | dict | set | np.ndarray
    if dtype == "O" and any(isinstance(value, several) for value in observed):
        return "it holds several values in a cell; give each a column"
    if dtype == "c" or (dtype == "O" and any(isinstance(v, _COMPLEX) for v in observed)):
        if kind is not None:
            raise UserError(f"column {name!r} is to be of type {kind!r}, and {_OF_COMPLEX}")
        return _OF_COMPLEX
    categories = getattr(values.dtype, "categories", None)
    numbers = _numbers(observed)
    if kind in _OF_NUMBERS and numbers is None:  # text of digits, or categories of it
        return number_column(name, _read_numbers(name, kind, observed), kind)
    if categories is not None and kind not in _OF_NUMBERS:
        ordered = bool(values.dtype.ordered)
        return _classes(name, [class_value(v) for v in categories], ordered, kind, observed)
    if numbers is None:
        if kind is None and all(_is_date(value) for value in observed):
            return _DATES
        distinct = sorted({class_value(v) for v in observed if not is_missing(v)}, key=str)
        return _classes(name, distinct, False, kind, observed)
    if not np.isfinite(numbers).all():
        return "it holds infinite numbers"
    if kind is None and len(np.unique(numbers)) < 2 and dtype != "b":
        return f"it holds {class_value(numbers[0])!r} only"
    kind = kind or _kind_of_numbers(numbers, dtype == "b")
    if kind is None:
        return "it numbers the rows"
    if kind in ("binary", "ordinal", "categorical"):
        distinct = sorted({class_value(v) for v in observed})
        if kind == "binary" and set(distinct) <= {0, 1}:
            is_bool = dtype == "b" or any(isinstance(v, bool) for v in distinct)
            distinct = [False, True] if is_bool else [0, 1]
        if len(distinct) < 2:
            return f"it holds {distinct[0]!r} only"
        return Column(name, kind, tuple(distinct))
    return number_column(name, numbers, kind)


def _numbers(observed: Any) -> np.ndarray | None:
    """Returns a column's numbers; None if it holds something else, which text of digits is, too."""
    objects = getattr(observed.dtype, "kind", "O") == "O"
    if objects and any(isinstance(value, str) for value in observed):
        return None
    try:
        return np.asarray(observed, np.float64)
    except (TypeError, ValueError):
        return None


def _read_numbers(name: Any, kind: str, observed: Any) -> np.ndarray:
    """Returns the numbers that the text of a column says, which is said to be of a type of numbers.

    Raises:
        UserError: A cell is no number.
    """
    numbers = np.empty(len(observed))
    for place, value in enumerate(observed):
        try:
            numbers[place] = float(value)
        except (TypeError, ValueError):
            raise UserError(
                f"column {name!r} is to be of type {kind!r} and holds {value!r}, which is no number"
            ) from None
    if not np.isfinite(numbers).all():
        raise UserError(f"column {name!r} is to be of type {kind!r} and holds infinite numbers")
    return numbers


def _is_date(value: Any) -> bool:
    """Says whether a value is a date, or text as ISO 8601 writes dates, which a CSV file has."""
    if isinstance(value, datetime.date | datetime.time):
        return True
    try:
        datetime.datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return False
    return True


def _classes(
    name: Any, distinct: list[Any], ordered: bool, kind: str | None, observed: Any
) -> Column | str:
    if len(distinct) < 2:
        return f"it holds {distinct[0]!r} only"
    usual = "binary" if len(distinct) == 2 else "ordinal" if ordered else "categorical"
    many = len(distinct) > max(_MOST_GRADES, min(_MOST_CATEGORIES, len(observed) / 2))
    if kind is None and many:
        return f"it is text of {len(distinct)} different values{_almost_numbers(observed)}"
    return Column(name, kind or usual, tuple(distinct))


def _almost_numbers(observed: Any) -> str:
    """Returns how text of many values becomes numbers, if that is what it seems to be."""
    import pandas as pd

    text = observed.astype(str)
    others = text[pd.to_numeric(text, errors="coerce").isna()]
    pointed = pd.to_numeric(others.str.replace(",", "."), errors="coerce")
    if len(others) and pointed.notna().all():
        return "; write numbers with a decimal point, not a comma"
    if 0 < len(others) < len(text) / 2:
        return f"; most of it are numbers, and {others.iloc[0]!r} is none: correct it or empty it"
    return ""


def _kind_of_numbers(numbers: np.ndarray, is_bool: bool) -> str | None:
    distinct = np.unique(numbers)
    if is_bool or len(distinct) == 2 or set(distinct) <= {0.0, 1.0}:
        return "binary"
    if np.all(distinct == np.round(distinct)):
        if len(distinct) == len(numbers) > 20 and np.ptp(distinct) == len(distinct) - 1:
            return None
        if distinct[0] < 0:
            return "real"
        if 2 < len(distinct) <= _MOST_GRADES:
            return "ordinal"
        return "count" if distinct[0] <= 1 else "real"
    if distinct[0] >= 0 and distinct[-1] <= 1 and not 0 < distinct[0] < PROPORTION_EDGE:
        return "proportion"
    return "positive" if distinct[0] > 0 and _skewness(numbers) > _SKEW else "real"


def number_column(name: Any, numbers: np.ndarray, kind: str) -> Column:
    """Returns a column of numbers with its unit."""
    if kind == "count":
        return Column(name, kind, mean=float(numbers.mean()))
    if kind == "positive":
        middle = numbers[numbers > 0]
        scale = float(np.exp(np.log(middle).mean())) if len(middle) else 1.0
        return Column(name, kind, scale=scale)
    if kind == "proportion":
        if numbers.min() > 0 and numbers.max() < 1:
            return Column(name, kind)
        # (value (n - 1) + 1/2) / n moves 0 and 1 inside (Smithson and Verkuilen, 2006).
        edge = 0.5 / max(len(numbers), 2)
        return Column(name, kind, loc=-edge / (1 - 2 * edge), scale=1 / (1 - 2 * edge))
    spread = float(numbers.std())
    loc = float(numbers.mean())
    differs = spread > 4 * np.finfo(np.float64).eps * abs(loc)  # by more than rounding
    return Column(name, kind, loc=loc, scale=spread if differs else 1.0)


def _skewness(numbers: np.ndarray) -> float:
    centred = numbers - numbers.mean()
    spread = centred.std()
    return float((centred**3).mean() / spread**3) if spread > 0 else 0.0
