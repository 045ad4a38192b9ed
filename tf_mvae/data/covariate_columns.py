"""Columns of a table that are given and not modelled."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_mvae.covariate import Covariate, SizeFactor
from tf_mvae.data.identifiers import identifier
from tf_mvae.data.missing import row_name
from tf_mvae.errors import UserError

if TYPE_CHECKING:
    from tf_mvae.data.column import Column
    from tf_mvae.data.schema import Schema

__all__ = [
    "COVARIATE",
    "DATA",
    "SIZE_FACTOR",
    "check_covariate_columns",
    "covariate_names",
    "encoded_covariates",
    "make_covariates",
    "role_of",
    "with_roles",
]

# Roles of a column in the file of a schema; that of data is not written.
DATA, COVARIATE, SIZE_FACTOR = "data", "covariate", "size_factor"
_CLASSES = ("ordinal", "categorical")


def check_covariate_columns(schema: "Schema") -> None:
    """Checks that a schema's size factor is one of its covariates, and of numbers.

    Raises:
        UserError: It is not.
    """
    name = schema.size_factor
    if name is None:
        return
    if name not in schema.covariates:
        raise UserError(f"the size factor {name!r} is not one of the schema's covariates")
    if schema.covariates[name].is_class:
        raise UserError(f"the size factor {name!r} holds classes; it has to hold numbers above 0")


def with_roles(
    make: type["Schema"],
    columns: Sequence["Column"],
    modalities: Mapping[str, Sequence[Any]],
    roles: Mapping[Any, str],
) -> "Schema":
    """Returns a schema of columns of which some are covariates.

    Args:
        make: The class.
        columns: All columns.
        modalities: By modality its columns. Covariates among them are omitted, and so is a
            modality of covariates alone.
        roles: By column; data if omitted.

    Raises:
        UserError: A role is not known, or two columns are size factors.
    """
    for name, role in roles.items():
        if role not in (DATA, COVARIATE, SIZE_FACTOR):
            raise UserError(
                f"column {name!r} has the role {role!r}; roles are {DATA}, {COVARIATE} and "
                f"{SIZE_FACTOR}"
            )
    sizes = [name for name, role in roles.items() if role == SIZE_FACTOR]
    if len(sizes) > 1:
        raise UserError(f"columns {sizes} are size factors; a table has one")
    given = {c.name: c for c in columns if roles.get(c.name, DATA) != DATA}
    kept = {m: tuple(n for n in names if n not in given) for m, names in modalities.items()}
    kept = {modality: names for modality, names in kept.items() if names}
    others = {column.name: column for column in columns if column.name not in given}
    return make(others, kept, given, sizes[0] if sizes else None)


def role_of(schema: "Schema", name: Any) -> dict[str, str]:
    """Returns what a schema's file says of a column's role; nothing of data."""
    if name not in schema.covariates:
        return {}
    return {"role": SIZE_FACTOR if name == schema.size_factor else COVARIATE}


def covariate_names(schema: "Schema") -> dict[Any, str]:
    """Returns the covariates' names in a batch, by their columns' names."""
    found: dict[Any, str] = {}
    for name in schema.covariates:
        found[name] = identifier(name, {*schema.modalities, *found.values()})
    return found


def make_covariates(schema: "Schema") -> list[Covariate]:
    """Returns new covariates for a model of a schema's modalities."""
    found: list[Covariate] = []
    for name, own in covariate_names(schema).items():
        column = schema.covariates[name]
        if name == schema.size_factor:
            found.append(SizeFactor(own))
        elif column.type in _CLASSES:
            classes = [str(value) for value in column.categories]
            found.append(Covariate(own, len(classes), class_names=classes))
        else:
            found.append(Covariate(own, is_binary=column.type == "binary"))
    return found


def encoded_covariates(schema: "Schema", frame: Any) -> dict[str, np.ndarray]:
    """Returns a data frame's covariates, `[rows]` by their names in a batch.

    Positive numbers are logarithms, counts `log(1 + x)`, and a size factor is divided by its
    column's mean (of positive numbers by `scale`, the geometric mean; a `real` one is as it is).

    Raises:
        UserError: A column is missing, has a gap, or holds what does not fit its type.
    """
    found = {}
    for name, own in covariate_names(schema).items():
        column = schema.covariates[name]
        if name not in frame.columns:
            raise UserError(
                f"covariate {name!r} of the schema is not in the table, which has "
                f"{list(frame.columns)[:20]}; a covariate has to be given for every row"
            )
        values = column.encode(frame[name], may_be_empty=False)
        if np.isnan(values).any():
            row = int(np.argmax(np.isnan(values)))
            raise UserError(
                f"covariate {name!r} is missing in row {row_name(frame[name], row)}; a covariate "
                "has to be given for every row: fill it in, leave such rows out, or model the "
                "column (role data)"
            )
        if name == schema.size_factor:
            values = _sizes(column, values, frame[name])
        elif column.type == "positive":
            values = np.log(values)
        elif column.type == "count":
            values = np.log1p(values)
        found[own] = values.astype(np.int32 if column.type in _CLASSES else np.float32)
    return found


def _sizes(column: "Column", values: np.ndarray, cells: Any) -> np.ndarray:
    """Returns size factors; of `positive` columns and counts they are near 1."""
    if column.type != "positive":
        values = column.decode(values) / column.mean
    if not (values > 0).all():
        row = int(np.argmin(values > 0))
        raise UserError(
            f"the size factor {column.name!r} is {values[row]:g} in row {row_name(cells, row)}, "
            "not above 0"
        )
    return values
