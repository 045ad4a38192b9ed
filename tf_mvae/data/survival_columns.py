"""Columns of survival times, each with a column that says where the event was observed.

A pair `(time, 1)` is the time of the event, and `(time, 0)` the end of an observation without it
(right-censored). A pair is observed or missing as a whole, and is a modality of its own.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_mvae.data.column import SURVIVAL, Column
from tf_mvae.data.covariate_columns import DATA
from tf_mvae.data.identifiers import identifier
from tf_mvae.data.missing import row_name
from tf_mvae.errors import UserError

if TYPE_CHECKING:
    from tf_mvae.data.schema import Schema

__all__ = [
    "check_survival_columns",
    "encoded_pairs",
    "event_columns",
    "filled_events",
    "make_survival_column",
    "missing_cells",
    "separated",
    "suggested_pair",
]

_TIME_WORDS = ("time", "surv", "durat", "follow")
_EVENT_WORDS = ("event", "status", "died", "dead", "death", "cens", "relaps", "progress")


def check_survival_columns(schema: "Schema") -> None:
    """Checks that survival times have modalities of their own and that events belong to them.

    Raises:
        UserError: They do not.
    """
    for modality, names in schema.modalities.items():
        times = [n for n in names if n in schema.columns and schema.columns[n].type == SURVIVAL]
        if times and len(names) > 1:
            raise UserError(
                f"modality {modality!r} holds the survival time {times[0]!r} and other columns; "
                "make it a modality of its own"
            )
    for name, column in schema.covariates.items():
        if column.type == SURVIVAL:
            raise UserError(f"column {name!r} is {SURVIVAL}; it cannot be a covariate")
    _check_events([*schema.columns.values()], {*schema.columns, *schema.covariates})


def _check_events(columns: Sequence[Column], others: set[Any]) -> None:
    """Refuses events of two times, and those that are columns of another kind, too."""
    events = [column.event for column in columns if column.type == SURVIVAL]
    for event in events:
        if events.count(event) > 1:
            raise UserError(f"column {event!r} has the events of two times; name one for each")
        if event in others:
            raise UserError(
                f"column {event!r} has the events of a survival time; it cannot be a covariate, a "
                "time or a column of a modality, too"
            )


def event_columns(schema: "Schema") -> dict[Any, Column]:
    """Returns the survival columns of a schema by the names of their columns of events."""
    return {c.event: c for c in schema.columns.values() if c.type == SURVIVAL}


def make_survival_column(name: Any, event: Any, frame: Any) -> Column:
    """Returns the column of the times in a data frame, whose unit is their mean.

    Raises:
        UserError: A time or an event does not fit, or no row has both.
    """
    column = Column(name, SURVIVAL, event=event)
    pairs, there = encoded_pairs(column, frame)
    if not there.any():
        raise UserError(f"no row has a time {name!r} and its event {event!r}")
    return Column(name, SURVIVAL, scale=float(pairs[there, 0].mean(dtype=np.float64)), event=event)


def separated(
    columns: Sequence[Column],
    modalities: Mapping[str, Sequence[Any]],
    roles: Mapping[Any, str],
) -> tuple[list[Column], dict[str, tuple[Any, ...]]]:
    """Gives each survival time a modality of its own, and removes the columns of events.

    Args:
        columns: All columns.
        modalities: By modality its columns. A time that is the only column keeps its modality's
            name.
        roles: By column; data if omitted.

    Returns:
        The columns that are data or covariates, and the modalities.

    Raises:
        UserError: A column of events has another role.
    """
    times = {column.name for column in columns if column.type == SURVIVAL}
    events = {column.event for column in columns if column.type == SURVIVAL}
    given = {name for name, role in roles.items() if role != DATA}
    _check_events(columns, times | given)
    found: dict[str, tuple[Any, ...]] = {}
    moved: list[Any] = []
    for modality, names in modalities.items():
        kept = tuple(name for name in names if name not in events)
        own = [name for name in kept if name in times]
        if len(kept) > 1 and own:
            moved += own
            kept = tuple(name for name in kept if name not in times)
        if kept:
            found[modality] = kept
    for name in moved:
        found[identifier(name, found)] = (name,)
    return [column for column in columns if column.name not in events], found


def encoded_pairs(column: Column, frame: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns a data frame's pairs as a model has them, and where they are observed.

    Args:
        column: The column of times.
        frame: A pandas data frame.

    Returns:
        `[rows, 2]` float32, times in the model's unit and events, and `[rows]` bool. A pair
        without a time or an event is (0, 0).

    Raises:
        UserError: A column is missing, a time is not above 0, or an event is not 0 or 1.
    """
    for name in (column.name, column.event):
        if name not in frame.columns:
            what = "time" if name == column.name else f"column of the events of {column.name!r}"
            raise UserError(
                f"{name!r}, the survival {what}, is not in the table; add it, empty if it is "
                f"missing everywhere (the table has {list(frame.columns)[:20]})"
            )
    pairs = np.stack([column.encode(frame[column.name]), _events(column, frame)], axis=1)
    there = ~np.isnan(pairs).any(axis=1)
    return np.where(there[:, np.newaxis], pairs, 0.0).astype(np.float32), there


def _events(column: Column, frame: Any) -> np.ndarray:
    """Returns events, 1 or 0, NaN where they are missing."""
    values = frame[column.event]
    missing = np.asarray(values.isna())
    found = np.full(len(values), np.nan, np.float32)
    for row, value in enumerate(values):
        if missing[row]:
            continue
        if isinstance(value, str) or value not in (0, 1):  # True is 1
            raise UserError(
                f"column {column.event!r} holds {_plain(value)!r} in row "
                f"{row_name(values, row)}; an event is 1 "
                f"(it occurred at {column.name!r}) or 0 (the observation ended then)"
            )
        found[row] = value
    return found


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def missing_cells(schema: "Schema", frame: Any) -> Any:
    """See `Schema.missing_cells`."""
    found = frame[list(schema.columns)].isna()
    for event, column in event_columns(schema).items():
        found[column.name] = found[column.name].to_numpy() | frame[event].isna().to_numpy()
    return found


def filled_events(values: Any, gaps: np.ndarray) -> Any:
    """Returns a column of events with 1 in the gaps: estimated times are those of events."""
    filled = values.astype(object)
    are_bool = any(isinstance(_plain(value), bool) for value in values[~gaps])
    filled[gaps] = True if are_bool else 1
    try:
        found = filled.astype(values.dtype)
    except (TypeError, ValueError):  # an empty column of another type
        return filled
    return filled if found.isna().any() else found  # pandas categories without a 1


def suggested_pair(schema: "Schema") -> tuple[Any, Any] | None:
    """Returns names of columns that may be a survival time and its events; None if none are.

    Nothing but the names, the types and the values 0 and 1 say so, so a user has to decide.
    """
    times = [
        column.name
        for column in schema.columns.values()
        if column.type in ("positive", "real", "count") and _has(column.name, _TIME_WORDS)
    ]
    events = [
        column.name
        for column in schema.columns.values()
        if column.type == "binary"
        and set(column.categories) == {0, 1}
        and _has(column.name, _EVENT_WORDS)
    ]
    return (times[0], events[0]) if times and events else None


def _has(name: Any, words: Sequence[str]) -> bool:
    return any(word in str(name).lower() for word in words)
