"""Data frames as batches, and predictions as data frames."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_mvae.covariate import Covariate
from tf_mvae.data.column import UnknownClassError
from tf_mvae.data.schema import Schema
from tf_mvae.data.schema_hints import type_hints
from tf_mvae.data.schema_inference import describe_schema, infer_schema, reduced
from tf_mvae.errors import UserError
from tf_mvae.modality import Modality

__all__ = ["Table", "from_frame", "split_rows", "without_split"]


_SPLITS = ("train", "validation", "test")
_SPLIT_COLUMN = "split"
_OTHER_SPLITS = {"training", "val", "valid", "dev", "testing"}  # as others write them


class Table:
    """A data frame with its schema.

    Attributes:
        frame: The data frame.
        schema: Its schema.
        batch: `{"x": ..., "mask": ...}`, for `fit`, `evaluate` and every other place that takes a
            batch.
    """

    def __init__(self, frame: Any, schema: Schema, unknown_classes: str = "error"):
        """Encodes a data frame.

        Args:
            frame: The data frame.
            schema: Its schema.
            unknown_classes: See `from_frame`.

        Raises:
            UserError: It does not fit the schema.
        """
        self.frame, self.schema = frame, schema
        self.batch = schema.encode(frame, unknown_classes)

    @property
    def cells(self) -> int:
        """How many cells the schema's columns have."""
        return len(self.frame) * len(self.schema.columns)

    def modalities(self, **kwargs: Any) -> list[Modality]:
        """Returns new modalities for a model; see `Schema.make_modalities` for the arguments."""
        return self.schema.make_modalities(**kwargs)

    def covariates(self) -> list[Covariate]:
        """Returns new covariates for a model of these modalities; none for most tables."""
        return self.schema.make_covariates()


def from_frame(
    frame: Any,
    schema: Schema | str | os.PathLike | None = None,
    modalities: str | Mapping[str, Sequence[Any]] = "one",
    types: Mapping[Any, str] | None = None,
    covariates: Sequence[Any] = (),
    size_factor: Any = None,
    verbose: bool = True,
    survival: Mapping[Any, Any] | None = None,
    unknown_classes: str = "error",
) -> Table:
    """Makes a table, with gaps, ready for a model.

    Args:
        frame: A pandas data frame. NaN, None and `NA` are missing cells.
        schema: Its schema, or the path of a saved one. If omitted, it is inferred
            (`tf_mvae.data.schema_inference.infer_schema`) and printed.
        modalities: For an inferred schema: which columns form a modality.
        types: For an inferred schema: types of columns that are not to be guessed.
        covariates: For an inferred schema: columns that are given and not modelled.
        size_factor: For an inferred schema: a column that multiplies the means of all counts.
        verbose: Whether an inferred schema is printed.
        survival: For an inferred schema: by column of survival times the column of their events,
            `{"months": "died"}`, 1 at an event and 0 where the observation ended before it.
        unknown_classes: What a class is that is none of the schema's categories: `"error"`, or
            `"missing"`: a model takes it for missing, and `impute` leaves it as it is.

    Returns:
        The table: `batch`, `schema` and `modalities()`.

    Raises:
        UserError: The frame does not fit the schema, or nothing in it can be modelled.

    Example:

    ```python
    table = from_frame(pd.read_csv("patients.csv"))
    model = MVAE(table.modalities(), latent_dim=8)
    model.compile(keras.optimizers.Adam(1e-3))
    model.fit(table.batch, epochs=100, verbose=0)
    model.impute(table, num_samples=200).filled   # a data frame without a missing cell
    ```
    """
    if schema is None:
        given = (covariates, size_factor, survival)
        schema, left_out = infer_schema(frame, modalities, types, *given)
        if verbose:
            print(describe_schema(schema, frame, left_out))
            for hint in type_hints(schema, frame):
                print(f"hint: {hint}")
    elif not isinstance(schema, Schema):
        schema = Schema.load(schema)
    try:
        return Table(frame, schema, unknown_classes)
    except UnknownClassError as error:
        raise UnknownClassError(f'{error}, or give unknown_classes="missing"') from error


def without_split(
    frame: Any, modalities: str | Mapping[str, Sequence[Any]] = "one"
) -> tuple[Any, Any, str | Mapping[str, Sequence[Any]]]:
    """Takes the column `split` off a data frame, if it says `train`, `validation` and `test`.

    Args:
        frame: The data frame.
        modalities: Which columns form a modality; see `from_frame`.

    Returns:
        The other columns, that column or None, and the modalities without it.

    Raises:
        UserError: Rows without one of these, no row with one of them, or another name of one.
    """
    named = set(frame[_SPLIT_COLUMN].dropna()) if _SPLIT_COLUMN in frame.columns else set()
    meant = {str(name).strip().lower() for name in named}
    if named and named != set(_SPLITS) and meant <= {*_SPLITS, *_OTHER_SPLITS}:
        found = ", ".join(sorted(map(str, named)))
        raise UserError(
            f"column {_SPLIT_COLUMN!r} holds {found}; write train, validation and test into "
            "it, or give it another name if it says nothing of the kind"
        )
    if named == set(_SPLITS):
        empty = int(frame[_SPLIT_COLUMN].isna().sum())
        if empty:
            raise UserError(
                f"column {_SPLIT_COLUMN!r} is empty in {empty} rows; write train, validation or "
                "test into each"
            )
        others = frame.drop(columns=_SPLIT_COLUMN)
        if isinstance(modalities, Mapping):
            kept = reduced(modalities, others.columns)
            modalities = {modality: list(names) for modality, names in kept.items()}
        return others, frame[_SPLIT_COLUMN], modalities
    return frame, None, modalities


def split_rows(number: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Returns the rows of `train` (70 %), `validation` and `test` (15 % each), at random."""
    order = np.random.default_rng([seed, 17]).permutation(number)
    held = max(1, round(0.15 * number)) if number > 2 else 0
    return {
        "test": np.sort(order[:held]),
        "validation": np.sort(order[held : 2 * held]),
        "train": np.sort(order[2 * held :]),
    }
