"""Rows of a table that a model makes up, given some cells."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_mvae.data.column import Column
from tf_mvae.data.missing import is_missing
from tf_mvae.data.schema import Schema
from tf_mvae.data.survival_columns import event_columns
from tf_mvae.errors import UserError

if TYPE_CHECKING:
    from tf_mvae.inference.generative import GenerativeModel

__all__ = ["generate_rows"]


def generate_rows(
    model: "GenerativeModel",
    schema: Schema,
    cells: Mapping[Any, Any],
    number: int,
    seed: int | Sequence[int] = 0,
    temperature: float = 1.0,
) -> Any:
    """Returns rows `x ~ p(x | z), z ~ q(z | cells)` as a data frame, in the schema's units.

    Args:
        model: A model of the schema's modalities.
        schema: The schema.
        cells: Values of columns that are given, of the rows all alike; strings are read, and
            missing ones (None, NaN) are not given. A covariate has to be among them; a survival
            time and its event are given together.
        number: How many rows.
        seed: A number, or two.
        temperature: Factor on the posterior's standard deviation.

    Raises:
        UserError: A column is not known, or a value does not fit it.

    Example:

    ```python
    generate_rows(model, table.schema, {"sex": "f", "age": 60}, 1000)
    ```
    """
    import pandas as pd

    cells = {name: value for name, value in cells.items() if not is_missing(value)}
    events = event_columns(schema)
    columns: dict[Any, Column | None] = {}
    for name, column in {**schema.columns, **schema.covariates}.items():
        columns |= {name: column} if column.event is None else {name: column, column.event: None}
    for name in cells:
        if name not in columns:
            raise UserError(
                f"the table has no column {name!r}; it has {', '.join(map(str, columns))}"
            )
    for name in schema.covariates:
        if name not in cells:
            raise UserError(f"{name!r} is a covariate: give its value (--condition={name}=VALUE)")
    for name in [column.name for one in model.conditions for column in schema.of(one)]:
        if name not in cells:
            raise UserError(
                f"{model.name} generates from {name!r}: give its value (--condition={name}=VALUE)"
            )
    for event, column in events.items():
        if (event in cells) != (column.name in cells):
            raise UserError(
                f"{column.name!r} is a survival time with the events {event!r}: give both "
                f"(--condition={column.name}=TIME --condition={event}=1), or neither"
            )
    given = {name: _value(name, columns[name], value) for name, value in cells.items()}
    blank = {name: [given.get(name)] * number for name in columns}
    batch = schema.encode(pd.DataFrame(blank, dtype=object))
    x = {one.name: batch["x"][one.name] for one in model.batch_inputs}
    mask = {modality.name: batch["mask"][modality.name] for modality in model.modalities}
    drawn = model.generate(x, 1, mask, seed, temperature, return_samples=True, guidance=1)
    found = {}
    for modality, values in drawn.items():
        array = np.asarray(values[0], np.float32).reshape(number, -1)
        for place, column in enumerate(schema.of(modality)):
            made = column.decode(array[:, place])
            found[column.name] = made if column.name not in given else blank[column.name]
            if column.event is not None:  # what is made up are times of events
                ones = [1] * number
                found[column.event] = blank[column.event] if column.event in given else ones
    found |= {name: blank[name] for name in schema.covariates}
    return pd.DataFrame({name: found[name] for name in columns if name in found})


def _value(name: Any, column: Column | None, value: Any) -> Any:
    """Returns a value that may be written as a string; a column of events has no type."""
    if not isinstance(value, str):
        return value
    if column is not None and column.is_class:
        return column.category(value)
    try:
        number = float(value)
        if math.isnan(number):
            raise ValueError
    except ValueError:
        raise UserError(
            f"column {name!r} is {column.type if column else 'one of events'}; {value!r} is no "
            "number"
        ) from None
    return int(number) if column is None and number.is_integer() else number
