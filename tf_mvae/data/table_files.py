"""Tables as files: CSV, TSV and Parquet, and folders of them that are joined."""

import collections
import contextlib
import os
import pathlib
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from tf_mvae import files
from tf_mvae.errors import UserError

__all__ = [
    "PARQUET",
    "check_header",
    "check_writable",
    "columns_of_codes",
    "read_csv",
    "read_table",
    "read_table_and_modalities",
    "reading",
    "separator_of",
    "write_table",
    "writing",
]

PARQUET = (".parquet", ".pq")
_ROWS_OF_CODES = 10_000
_ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", *PARQUET)


def read_table(path: str | os.PathLike, read: Callable[[str], Any] | None = None) -> Any:
    """Reads a table as a pandas data frame; see `read_table_and_modalities`."""
    return read_table_and_modalities(path, read)[0]


def read_table_and_modalities(
    path: str | os.PathLike, read: Callable[[str], Any] | None = None
) -> tuple[Any, str | dict[str, list[str]]]:
    """Reads a table, and which of its columns form a modality unless a schema says so.

    A file is a CSV, TSV or Parquet file (also compressed CSV); all its columns are one modality. A
    folder holds several such files. They are joined on their first column, which names the
    examples; a row that a file does not have is missing from it. Names that are numbers are equal
    if the numbers are, unless one begins with a zero, as `007`: then all are text. Each file is a
    modality, called as the file is.

    Args:
        path: A file or a folder.
        read: Reads a file of a folder; pandas if omitted, which makes floats of integers of which
            some are missing.

    Returns:
        The data frame, and `"one"` or a modality's columns by its name, for
        `tf_mvae.data.schema_inference.infer_schema`.

    Raises:
        UserError: It cannot be read, files do not fit together, or pandas is not installed.

    Example:

    ```python
    frame, modalities = read_table_and_modalities("cohort")   # cohort/rna.csv, cohort/drugs.csv
    table = from_frame(frame, modalities=modalities)
    ```
    """
    folder = pathlib.Path(path).expanduser()
    if not folder.is_dir():
        return _read_file(os.fspath(path)), "one"
    paths = sorted(p for p in folder.iterdir() if p.name.lower().endswith(_ENDINGS))
    if not paths:
        raise UserError(f"table {folder} is a folder without a file that ends in {_ENDINGS}")
    frames: dict[str, Any] = {}
    keys: dict[str, Any] = {}
    has_codes = False
    for file in paths:
        name = file.name.partition(".")[0]
        if name in frames or not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name):
            raise UserError(
                f"table {file}: what stands before the first dot is the modality's name: letters, "
                "digits and underscores, another one for each file"
            )
        frames[name] = frame = (read or _read_file)(os.fspath(file))
        keys[name], are_codes = _keys(file, frame.iloc[:, 0])
        has_codes |= are_codes
    parts = {
        name: _indexed(file, frame, keys[name] if has_codes else frame.iloc[:, 0])
        for file, (name, frame) in zip(paths, frames.items(), strict=True)
    }
    _check_parts(folder, parts)
    import pandas as pd

    frame = pd.concat(parts.values(), axis=1)
    frame.index.name = next(iter(parts.values())).index.name
    return frame, {name: list(part.columns) for name, part in parts.items()}


def _keys(path: pathlib.Path, column: Any) -> tuple[Any, bool]:
    """Returns a file's first column as the text that it is there; gaps stay gaps.

    Also whether pandas took codes for numbers: one of them begins with a zero, as `007`.
    """
    text, are_codes = column.astype(str), False
    if path.suffix.lower() not in PARQUET:
        are_numbers = _are_numbers(column)
        if are_numbers:
            text = read_csv(os.fspath(path), usecols=[0], dtype=str).iloc[:, 0]
        text = text.str.strip()
        are_codes = are_numbers and bool(text.str.fullmatch("[+-]?0[0-9]+").any())
    return text.where(column.notna(), None), are_codes


def _are_numbers(column: Any) -> bool:
    return getattr(column.dtype, "kind", "O") in "iuf"


def _indexed(path: pathlib.Path, frame: Any, keys: Any) -> Any:
    """Returns a file's data frame with keys in place of its first column, as the index."""
    if not keys.is_unique or keys.isna().any():
        raise UserError(
            f"table {path}: the files of a folder are joined on their first column; {keys.name!r} "
            "has values that are missing or come twice"
        )
    return frame.iloc[:, 1:].set_index(keys)


def _check_parts(folder: pathlib.Path, parts: dict[str, Any]) -> None:
    """Checks that files have a common first column, and no other column in common."""
    kinds = {_are_numbers(part.index): name for name, part in parts.items()}
    if len(kinds) > 1:
        raise UserError(
            f"table {folder}: the first column holds numbers in {kinds[True]} and text in "
            f"{kinds[False]}, which are never equal; write them alike"
        )
    keys = {part.index.name: name for name, part in parts.items()}
    if len(keys) > 1:
        raise UserError(
            f"table {folder}: the files of a folder are joined on their first column, which is "
            + " and ".join(f"{key!r} in {name}" for key, name in keys.items())
        )
    seen: dict[str, str] = {}
    for name, part in parts.items():
        for column in part.columns:
            if column in seen:
                raise UserError(f"table {folder}: {column!r} is in {seen[column]} and in {name}")
            seen[column] = name


def _read_file(path: str) -> Any:
    path = os.path.expanduser(path)
    if os.path.exists(path) and not os.path.isfile(path):
        raise UserError(f"table {path} can be read once only, as a pipe; write it to a file first")
    with reading(path):
        import pandas as pd

        if path.lower().endswith(PARQUET):
            frame = pd.read_parquet(path)
            return frame if frame.index.name is None else frame.reset_index()
        frame = read_csv(path)
        check_header(path, frame)
        return frame


def read_csv(path: str, **options: Any) -> Any:
    """Returns what `pandas.read_csv` does for a text file; a column has one type in all of it.

    Args:
        path: The file.
        **options: pandas' own.
    """
    import pandas as pd

    return pd.read_csv(path, sep=separator_of(path), low_memory=False, **options)


def separator_of(path: str) -> str:
    """Returns the separator of a text file's cells: a tab in a `.tsv`, otherwise a comma."""
    return "\t" if ".tsv" in os.path.basename(path).lower() else ","


def check_header(path: str, frame: Any, is_first: bool = True) -> None:
    """Checks that a text file names each of its columns once.

    Of rows that have more cells than the header has names pandas takes the first cell as the name
    of the row, and every other one for that of the column to its left. It calls the second column
    of a name `NAME.1`.

    Args:
        path: The file.
        frame: What pandas has read, or a part of it, without `index_col`.
        is_first: Whether its first row is the file's.

    Raises:
        UserError: Rows have more cells, two columns one name, or cells another separator.
    """
    names, cells = (_text_row(path, 0), _text_row(path, 1)) if is_first else ([], [])
    own = separator_of(path)
    other = next((mark for mark in ";\t|," if len(names) == 1 and mark in names[0]), own)
    if other != own:
        raise UserError(
            f"table {path}: its header is one name, {names[0][:80]!r}; separate its cells by "
            f"{'tabs' if own != ',' else 'commas'}, not by {other!r}, or rename its only column"
        )
    # Names of rows that are equally spaced numbers are a RangeIndex, too.
    if type(frame.index).__name__ != "RangeIndex" or len(cells) > len(names):
        raise UserError(
            f"table {path}: its rows have more cells than its header has names; take the separator "
            "off the ends of the rows, or name the first column, if it holds names of rows"
        )
    twice = [name for name, number in collections.Counter(names).items() if name and number > 1]
    if twice:
        raise UserError(f"table {path}: two columns have the name {twice[0]!r}; rename one")


def columns_of_codes(path: str | os.PathLike) -> list[str]:
    """Returns the columns of integers of which some begin with a zero in a text file, as `007`.

    Only the first rows are read.

    Args:
        path: A file or a folder; those of other machines are not read.
    """
    place = pathlib.Path(path).expanduser()
    found = []
    for file in sorted(place.iterdir()) if place.is_dir() else [place]:
        name = file.name.lower()
        if not (file.is_file() and name.endswith(_ENDINGS)) or name.endswith(PARQUET):
            continue
        with reading(os.fspath(file)):
            frame = read_csv(os.fspath(file), dtype=str, nrows=_ROWS_OF_CODES)
        for column in frame.columns:
            text = frame[column].dropna().str.strip()
            if text.str.fullmatch("[0-9]+").all() and text.str.fullmatch("0[0-9]+").any():
                found.append(column)
    return found


def _text_row(path: str, number: int) -> list[str]:
    """Returns the cells of a text file's row, of which 0 is the header; none if it has none."""
    from pandas.errors import EmptyDataError

    try:
        row = read_csv(
            path, header=None, skiprows=number, nrows=1, dtype=str, na_filter=False
        ).to_numpy()
    except EmptyDataError:
        return []
    return list(row[0])


@contextlib.contextmanager
def reading(path: str) -> Iterator[None]:
    """Turns the errors of reading a table into `UserError`s of one line."""
    try:
        yield
    except ImportError as error:
        if error.name == "pandas":
            raise UserError("tables need pandas: pip install 'tf-mvae[tables]'") from error
        raise UserError(f"{path} needs pyarrow: pip install pyarrow") from error
    except OSError as error:
        raise UserError(f"table {path} cannot be read: {error.strerror or error}") from error
    except (EOFError, zlib.error) as error:
        raise UserError(f"table {path} cannot be read: it is damaged or cut short") from error
    except UserError:
        raise
    except UnicodeDecodeError as error:
        raise UserError(
            f"table {path} cannot be read: its text is not UTF-8; write it in UTF-8"
        ) from error
    except ValueError as error:
        hint = ""
        if "tokenizing" in str(error):
            hint = "; cells are separated by commas, in a .tsv by tabs"
        reason = str(error).splitlines()[0]
        raise UserError(f"table {path} cannot be read: {reason}{hint}") from error


def check_writable(path: str | os.PathLike) -> None:
    """Checks that a table can be written in the format that a path's ending names.

    Raises:
        UserError: Its ending is that of another format.
    """
    if not os.fspath(path).lower().endswith(_ENDINGS):
        raise UserError(
            f"{path} names no format of tables that can be written; choose a name that ends in one "
            f"of {', '.join(_ENDINGS)}"
        )


def write_table(frame: Any, path: str | os.PathLike) -> None:
    """Writes a data frame as CSV, TSV or Parquet, as the path ends, completely or not at all.

    The index is written if it has a name.

    Raises:
        UserError: The file cannot be written.
    """
    check_writable(path)
    path = pathlib.Path(path).expanduser()
    named = frame.index.name is not None
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.replacing(path) as temporary:
            if path.suffix.lower() in PARQUET:
                frame.to_parquet(temporary, index=named)
            else:
                frame.to_csv(temporary, sep=separator_of(str(path)), index=named)


@contextlib.contextmanager
def writing(path: pathlib.Path) -> Iterator[None]:
    """Turns the errors of writing a table into `UserError`s of one line."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error
    except ImportError as error:
        raise UserError(f"{path} needs pyarrow: pip install pyarrow") from error
