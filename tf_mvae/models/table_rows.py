"""Rows of a table that a model makes up, given some cells."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_mvae.data.schema import Column, Schema
from tf_mvae.errors import UserError

if TYPE_CHECKING:
    from tf_mvae.models.generative import GenerativeModel

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
        cells: Values of columns that are given, of the rows all alike; strings are read. A
            covariate has to be among them.
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

    columns = {**schema.columns, **schema.covariates}
    for name in cells:
        if name not in columns:
            raise UserError(
                f"the table has no column {name!r}; it has {', '.join(map(str, columns))}"
            )
    for name in schema.covariates:
        if name not in cells:
            raise UserError(f"{name!r} is a covariate: give its value (--condition={name}=VALUE)")
    given = {name: _value(columns[name], value) for name, value in cells.items()}
    blank = {name: [given.get(name)] * number for name in columns}
    batch = schema.encode(pd.DataFrame(blank, dtype=object))
    x = {one.name: batch["x"][one.name] for one in model.batch_inputs}
    mask = {modality.name: batch["mask"][modality.name] for modality in model.modalities}
    drawn = model.generate(x, 1, mask, seed, temperature, return_samples=True)
    found = {}
    for modality, values in drawn.items():
        array = np.asarray(values[0], np.float32).reshape(number, -1)
        for place, column in enumerate(schema.of(modality)):
            made = column.decode(array[:, place])
            found[column.name] = made if column.name not in given else blank[column.name]
    found |= {name: blank[name] for name in schema.covariates}
    return pd.DataFrame({name: found[name] for name in columns if name in found})


def _value(column: Column, value: Any) -> Any:
    """Returns a value that may be written as a string."""
    if not isinstance(value, str):
        return value
    if column.is_class:
        by_text = {str(category): category for category in column.categories}
        return by_text.get(value, value)
    try:
        return float(value)
    except ValueError:
        raise UserError(
            f"column {column.name!r} is {column.type}; {value!r} is no number"
        ) from None
