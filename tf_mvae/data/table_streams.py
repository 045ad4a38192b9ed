"""Tables that are read and written a few rows at a time."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterator
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

_ROWS = 100_000  # of a file of a folder that are converted at a time


@dataclasses.dataclass(frozen=True)
class TableStream:
    """A table in parts, of which one is in memory at a time.

    Attributes:
        num_rows: The number of rows.
        parts: Returns an iterator of data frames, one below the other. A column has one type in
            all of them. Integers of which some are missing are integers (pandas' `Int64`) with
            all their digits; a table that is read whole from another machine has floats there.
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


def open_table(path: str | os.PathLike, rows: int) -> TableStream:
    """Opens a table, of any size if it is one CSV, TSV or Parquet file.

    A file is read twice: once for the number of rows and for the types of columns, which the first
    rows alone do not say; of a text file, columns of numbers with gaps are read once more. A folder
    (`tf_mvae.data.table_files.read_table_and_modalities`) and a table of another machine
    (`https://...`) are read whole.

    Args:
        path: The file or folder.
        rows: The largest number of rows of a part.

    Raises:
        UserError: It cannot be read, has no rows, or pandas is not installed.
    """
    path = os.path.expanduser(os.fspath(path))
    if os.path.isfile(path):
        parquet = path.lower().endswith(PARQUET)
        read = _parquet_parts if parquet else _csv_parts
        number, dtypes, missing = _scan(read(path, rows, {}))
        if not parquet:
            # Of integers with gaps pandas makes floats, and text of those above 2^63.
            floats = {name for name in missing if _kind(dtypes.get(name)) == "f"}
            unsure = [k for k, dtype in dtypes.items() if k in floats or dtype is str]
            dtypes |= _integers(path, rows, unsure)
        texts = None if parquet else lambda: _csv_parts(path, rows, str, na_filter=False)
        stream = TableStream(number, lambda: read(path, rows, dtypes), texts)
    else:
        frame = read_table(path, _read_with_integers)
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
                frame = _frame_of(part)
                if frame.index.name is not None:
                    frame = frame.reset_index()
                if isinstance(frame.index, pd.RangeIndex):
                    frame.index = pd.RangeIndex(start, start + len(frame))
                start += len(frame)
                numbers = {k: v for k, v in dtypes.items() if v is not str and k in frame.columns}
                yield frame.astype(numbers)


def _frame_of(part: Any) -> Any:
    """Returns an Arrow batch as a data frame; pyarrow makes floats of integers with gaps."""
    import pyarrow

    frame = part.to_pandas()
    for place, field in enumerate(part.schema):
        if not (pyarrow.types.is_integer(field.type) and field.name in frame.columns):
            continue
        if isinstance(frame[field.name].dtype, np.dtype) and part.column(place).null_count:
            dtype = _nullable(np.dtype(field.type.to_pandas_dtype()))
            integers = part.column(place).to_pandas(types_mapper=lambda _, dtype=dtype: dtype)
            frame[field.name] = integers.array
    return frame


def _scan(parts: Iterator[Any]) -> tuple[int, dict[Any, Any], set[Any]]:
    """Returns the number of rows, the types of columns of numbers and of text, and which have gaps.

    Integers with gaps that a text file has are floats.
    """
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
        if isinstance(dtypes[name], np.dtype) and _kind(dtypes[name]) in "iu":
            dtypes[name] = _nullable(dtypes[name])
    return number, {name: dtype for name, dtype in dtypes.items() if dtype is not None}, missing


def _integers(path: str, rows: int, names: list[Any]) -> dict[Any, Any]:
    """Returns the types of columns of a text file whose cells are integers or empty."""
    least, most = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for part in _csv_parts(path, rows, str, usecols=names) if names else ():
        for name in least.keys() & set(part.columns):
            text = part[name].dropna().str.strip()
            if text.str.fullmatch("[+-]?[0-9]+").all():
                values = [int(value) for value in text]
                least[name] = min([least[name], *values])
                most[name] = max([most[name], *values])
            else:
                del least[name]
        if not least:
            break
    found = {}
    for name in least:
        for dtype in (np.dtype(np.uint64), np.dtype(np.int64)):  # int64 if both can hold them
            limits = np.iinfo(dtype)
            if limits.min <= least[name] and most[name] <= limits.max:
                found[name] = _nullable(dtype)
    return found


def _read_with_integers(path: str) -> Any:
    """Returns a file of a folder, whose columns of integers remain integers when it is joined."""
    import pandas as pd

    frame = pd.concat(open_table(path, _ROWS).parts())
    integers = [name for name in frame.columns[1:] if _kind(frame[name].dtype) in "iu"]
    plain = [name for name in integers if isinstance(frame[name].dtype, np.dtype)]
    return frame.astype({name: _nullable(frame[name].dtype) for name in plain})


def _kind(dtype: Any) -> str:
    return getattr(dtype, "kind", "O")


def _nullable(dtype: np.dtype) -> Any:
    """Returns the type of pandas for integers with gaps."""
    import pandas as pd

    return pd.api.types.pandas_dtype(dtype.name.replace("ui", "UI").replace("int", "Int"))


def _type_of(observed: Any) -> Any:
    """Returns the type of a column without gaps: of numbers, `str`, or None for others."""
    import pandas as pd

    if _kind(observed.dtype) in "iuf":
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
    plain = [getattr(dtype, "numpy_dtype", dtype) for dtype in (one, other)]
    found = np.result_type(*plain)
    own = [dtype for dtype in (one, other) if not isinstance(dtype, np.dtype)]
    return own[0] if own and plain.count(found) == 2 else found


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
