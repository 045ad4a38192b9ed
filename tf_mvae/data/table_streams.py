"""Tables that are read and written a few rows at a time."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Callable, Container, Iterator
from typing import Any

import numpy as np

from tf_mvae import files
from tf_mvae.data.table_files import (
    PARQUET,
    check_header,
    check_writable,
    read_csv,
    read_table,
    reading,
    separator_of,
    writing,
)
from tf_mvae.errors import UserError

__all__ = ["TableStream", "open_table", "writing_table"]


@dataclasses.dataclass(frozen=True)
class TableStream:
    """A table in parts, of which one is in memory at a time.

    Attributes:
        num_rows: The number of rows.
        parts: Returns an iterator of data frames, one below the other. A column has one type in
            all of them: numbers of which some are missing anywhere are floats everywhere.
        texts: Returns an iterator of the same parts with every cell as the file has it, text; None
            if the file has types of its own, or is a folder.

    Example:

    ```python
    stream = open_table("patients.csv", rows=1000)
    with writing_table("filled.csv") as write:
        for frame in stream.parts():
            write(model.impute(from_frame(frame, schema)).filled)
    ```
    """

    num_rows: int
    parts: Callable[[], Iterator[Any]]
    texts: Callable[[], Iterator[Any]] | None = None


def open_table(path: str | os.PathLike, rows: int, whole: Container[Any] = ()) -> TableStream:
    """Opens a table, of any size if it is one CSV, TSV or Parquet file.

    A file is read twice: once for the number of rows and for the types of columns, which the first
    rows alone do not say. A folder (`tf_mvae.data.table_files.read_table_and_modalities`) and
    a table of another machine (`https://...`) are read whole.

    Args:
        path: The file or folder.
        rows: The largest number of rows of a part.
        whole: Columns that stay integers though some are missing, if their type can hold
            that (pandas' `Int64`).

    Raises:
        UserError: It cannot be read, has no rows, or pandas is not installed.
    """
    path = os.path.expanduser(os.fspath(path))
    if os.path.isfile(path):
        parquet = path.lower().endswith(PARQUET)
        read = _parquet_parts if parquet else _csv_parts
        number, dtypes = _scan(read(path, rows, {}), whole)
        texts = None if parquet else lambda: _csv_parts(path, rows, str, na_filter=False)
        stream = TableStream(number, lambda: read(path, rows, dtypes), texts)
    else:
        frame = read_table(path)
        number = len(frame)
        stream = TableStream(
            number, lambda: (frame.iloc[i : i + rows] for i in range(0, number, rows))
        )
    if not number:
        raise UserError(f"table {path} is empty: it has no rows")
    return stream


def _csv_parts(path: str, rows: int, dtypes: Any, **options: Any) -> Iterator[Any]:
    with reading(path), read_csv(path, chunksize=rows, dtype=dtypes or None, **options) as parts:
        for number, part in enumerate(parts):
            check_header(path, part, is_first=not number)
            yield part


def _parquet_parts(path: str, rows: int, dtypes: dict[Any, Any]) -> Iterator[Any]:
    with reading(path):
        import pandas as pd
        import pyarrow.parquet

        start = 0
        with pyarrow.parquet.ParquetFile(path) as file:
            for part in file.iter_batches(rows):
                frame = part.to_pandas()
                if frame.index.name is not None:
                    frame = frame.reset_index()
                elif isinstance(frame.index, pd.RangeIndex):
                    frame.index = pd.RangeIndex(start, start + len(frame))
                start += len(frame)
                numbers = {k: v for k, v in dtypes.items() if v is not str and k in frame.columns}
                yield frame.astype(numbers)


def _scan(parts: Iterator[Any], whole: Container[Any]) -> tuple[int, dict[Any, Any]]:
    """Returns the number of rows, and the types of columns of numbers and of text."""
    number, dtypes, missing = 0, {}, set()
    for part in parts:
        number += len(part)
        for name in part.columns:
            observed = part[name].dropna()
            if len(observed) < len(part):
                missing.add(name)
            if len(observed):  # a part without a value has no type
                own = _type_of(observed)
                dtypes[name] = _common(dtypes.get(name, own), own)
    for name in missing & dtypes.keys():
        plain = isinstance(dtypes[name], np.dtype)
        if getattr(dtypes[name], "kind", "O") in "iu" and (plain or name not in whole):
            dtypes[name] = np.dtype(np.float64)  # imputed values need not be integers
    return number, {name: dtype for name, dtype in dtypes.items() if dtype is not None}


def _type_of(observed: Any) -> Any:
    """Returns the type of a column without gaps: of numbers, `str`, or None for others."""
    import pandas as pd

    if getattr(observed.dtype, "kind", "O") in "iuf":
        return observed.dtype
    categories = getattr(observed.dtype, "categories", None)
    return str if categories is None and pd.api.types.is_string_dtype(observed) else None


def _common(one: Any, other: Any) -> Any:
    """Returns the type for the values of both; text if only one of them is numeric."""
    if one == other:
        return one
    if str in (one, other):
        return str
    if one is None or other is None:
        return None
    plain = [dtype if isinstance(dtype, np.dtype) else np.dtype("f8") for dtype in (one, other)]
    return np.result_type(*plain)


@contextlib.contextmanager
def writing_table(path: str | os.PathLike) -> Iterator[Callable[[Any], None]]:
    """Writes a table in parts, CSV, TSV or Parquet as the path ends, completely or not at all.

    The index is written if it has a name. See `TableStream` for an example.

    Args:
        path: The file; an existing one is replaced at the end of the block.

    Yields:
        A function that appends a data frame. The first one decides the columns.

    Raises:
        UserError: The file cannot be written, or a frame has other columns than the first.
    """
    check_writable(path)
    path = pathlib.Path(path).expanduser()
    make = _parquet_writer if path.suffix.lower() in PARQUET else _csv_writer
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.replacing(path) as temporary, make(temporary) as write:
            yield write


@contextlib.contextmanager
def _csv_writer(path: pathlib.Path) -> Iterator[Callable[[Any], None]]:
    columns: list[Any] = []
    path.touch()

    def write(frame):
        first = not columns
        columns.extend(list(frame.columns) if first else ())
        _check_columns(columns, frame)
        named = frame.index.name is not None
        # A path that ends in .gz is compressed, each part by itself.
        mode, separator = "w" if first else "a", separator_of(str(path))
        frame.to_csv(path, sep=separator, mode=mode, index=named, header=first)

    yield write


@contextlib.contextmanager
def _parquet_writer(path: pathlib.Path) -> Iterator[Callable[[Any], None]]:
    import pyarrow
    import pyarrow.parquet

    writers: list[Any] = []
    columns: list[Any] = []

    def schema_of(frame, named):
        schema = pyarrow.Schema.from_pandas(frame, preserve_index=named)
        for place, field in enumerate(schema):
            if field.type == pyarrow.null():  # a column without a value, as yet
                schema = schema.set(place, field.with_type(pyarrow.string()))
        return schema

    def write(frame):
        named = frame.index.name is not None
        try:
            if not writers:
                columns.extend(frame.columns)
                writers.append(pyarrow.parquet.ParquetWriter(path, schema_of(frame, named)))
            _check_columns(columns, frame)
            part = pyarrow.Table.from_pandas(frame, writers[0].schema, preserve_index=named)
        except pyarrow.ArrowException as error:
            raise UserError(
                f"{path.name}: a column changes its type between rows, which Parquet cannot hold: "
                f"{str(error).splitlines()[0]}; write a CSV file"
            ) from error
        writers[0].write_table(part)

    try:
        yield write
        if not writers:
            pyarrow.parquet.write_table(pyarrow.table({}), path)
    finally:
        for writer in writers:
            writer.close()


def _check_columns(columns: list[Any], frame: Any) -> None:
    if list(frame.columns) != columns:
        raise UserError(f"a part of the table has the columns {list(frame.columns)[:20]}")
