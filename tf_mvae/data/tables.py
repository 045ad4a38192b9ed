"""Data frames as batches, and what a model says of them as data frames again."""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_mvae import files
from tf_mvae.data.schema import Schema
from tf_mvae.data.schema_inference import describe_schema, infer_schema
from tf_mvae.errors import UserError
from tf_mvae.modality import Modality

__all__ = ["Table", "from_frame", "read_table", "split_rows", "without_split", "write_table"]


_SPLITS = ("train", "validation", "test")
_SPLIT_COLUMN = "split"


class Table:
    """A data frame with its schema.

    Attributes:
        frame: The data frame.
        schema: Its schema.
        batch: `{"x": ..., "mask": ...}`, for `fit`, `evaluate` and every other place that takes a
            batch.
    """

    def __init__(self, frame: Any, schema: Schema):
        """Encodes a data frame.

        Raises:
            UserError: It does not fit the schema.
        """
        self.frame, self.schema = frame, schema
        self.batch = schema.encode(frame)

    @property
    def cells(self) -> int:
        """How many cells the schema's columns have."""
        return len(self.frame) * len(self.schema.columns)

    def modalities(self, **kwargs: Any) -> list[Modality]:
        """Returns new modalities for a model; see `Schema.make_modalities` for the arguments."""
        return self.schema.make_modalities(**kwargs)


def from_frame(
    frame: Any,
    schema: Schema | str | os.PathLike | None = None,
    modalities: str | Mapping[str, Sequence[Any]] = "one",
    types: Mapping[Any, str] | None = None,
    verbose: bool = True,
) -> Table:
    """Makes a table, with gaps, ready for a model.

    Args:
        frame: A pandas data frame. NaN, None and `NA` are missing cells.
        schema: Its schema, or the path of a saved one. If omitted, it is inferred
            (`tf_mvae.data.schema_inference.infer_schema`) and printed.
        modalities: For an inferred schema: which columns form a modality.
        types: For an inferred schema: types of columns that are not to be guessed.
        verbose: Whether an inferred schema is printed.

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
        schema, left_out = infer_schema(frame, modalities, types)
        if verbose:
            print(describe_schema(schema, frame, left_out))
    elif not isinstance(schema, Schema):
        schema = Schema.load(schema)
    return Table(frame, schema)


def read_table(path: str | os.PathLike) -> Any:
    """Reads a CSV, TSV or Parquet file (also compressed CSV) as a pandas data frame.

    Raises:
        UserError: It cannot be read, or pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise UserError("tables need pandas: pip install 'tf-mvae[tables]'") from error
    path = os.path.expanduser(os.fspath(path))
    try:
        if path.endswith((".parquet", ".pq")):
            return pd.read_parquet(path)
        separator = "\t" if ".tsv" in os.path.basename(path) else ","
        return pd.read_csv(path, sep=separator)
    except ImportError as error:
        raise UserError(f"{path} needs pyarrow: pip install pyarrow") from error
    except OSError as error:
        raise UserError(f"table {path} cannot be read: {error.strerror or error}") from error
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(f"table {path} cannot be read: {str(error).splitlines()[0]}") from error


def write_table(frame: Any, path: str | os.PathLike) -> None:
    """Writes a data frame as CSV, or as Parquet if the path ends so, whole or not at all.

    The index is written if it has a name.

    Raises:
        UserError: The file cannot be written.
    """
    path = pathlib.Path(path).expanduser()
    named = frame.index.name is not None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.replacing(path) as temporary:
            if path.suffix in (".parquet", ".pq"):
                frame.to_parquet(temporary, index=named)
            else:
                frame.to_csv(temporary, index=named)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error
    except ImportError as error:
        raise UserError(f"{path} needs pyarrow: pip install pyarrow") from error


def without_split(frame: Any) -> tuple[Any, Any]:
    """Takes the column `split` off a data frame, if it says `train`, `validation` and `test`.

    Returns:
        The other columns, and that column or None.
    """
    if _SPLIT_COLUMN in frame.columns and set(frame[_SPLIT_COLUMN]) == set(_SPLITS):
        return frame.drop(columns=_SPLIT_COLUMN), frame[_SPLIT_COLUMN]
    return frame, None


def split_rows(number: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Returns the rows of `train` (70 %), `validation` and `test` (15 % each), at random."""
    order = np.random.default_rng([seed, 17]).permutation(number)
    held = max(1, round(0.15 * number)) if number > 2 else 0
    return {
        "test": np.sort(order[:held]),
        "validation": np.sort(order[held : 2 * held]),
        "train": np.sort(order[2 * held :]),
    }
