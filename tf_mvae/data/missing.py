"""Converts arrays of any form to numpy, with masks of missing entries."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_mvae.errors import UserError

__all__ = ["array_and_missing", "is_missing", "row_name"]


def is_missing(value: Any) -> bool:
    """Whether a value is None, NaN, pandas' `NA` or `NaT`."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float | np.floating | np.datetime64 | np.timedelta64) and bool(
        value != value
    )


def row_name(values: Any, place: int) -> str:
    """Returns what the index of a pandas series calls a row, which is its number in a file."""
    label = values.index[place]
    return repr(label) if isinstance(label, str) else str(label)


def array_and_missing(name: str, values: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns values and where they are missing, arrays of one shape.

    Args:
        name: The modality, for messages.
        values: A numpy array, also a masked one; a list; a pandas series or data frame. Elements
            of a list may be arrays of one shape, and missing.

    Raises:
        UserError: There is one value only, or the examples differ in shape.
    """
    if isinstance(values, np.ma.MaskedArray):
        array, missing = array_and_missing(name, np.asarray(values.data))
        return array, missing | np.ma.getmaskarray(values)
    if hasattr(values, "isna"):  # pandas knows its own kinds of missing
        missing = np.asarray(values.isna())
        numbers = _category_numbers(values, missing)
        array = values.to_numpy() if numbers is None else numbers
        if array.dtype == object:
            array, inner = _of_objects(name, list(array), array.shape)
            missing = missing if missing.shape == array.shape else inner
        return array, missing
    array = _as_array(values)
    if array.ndim == 0:
        raise UserError(f"modality {name!r} is one value, not an array of examples")
    if array.dtype == object:
        return _of_objects(name, list(values), array.shape)
    if array.dtype.kind in "fcmM":
        return array, np.isnat(array) if array.dtype.kind in "mM" else np.isnan(array)
    return array, np.zeros(array.shape, bool)


def _as_array(values: Any) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError:  # some examples are None, or they differ in shape
        array = np.empty(len(values), object)
        array[:] = [None] * len(values)
        return array
    if array.dtype.kind in "US":  # numpy would have made a text of a None or NaN in a list
        return np.asarray(values, object)
    return array


def _of_objects(
    name: str, values: Sequence[Any], shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns Python objects, some of which are missing, as an array and where they are.

    Args:
        name: The modality.
        values: An object for each example.
        shape: The shape that numpy saw.
    """
    nested = [v for v in values if isinstance(v, list | tuple | np.ndarray) and np.ndim(v)]
    if not nested or len(shape) > 1:
        flat = np.empty(int(np.prod(shape)), object)
        flat[:] = list(np.asarray(values, object).reshape(-1))
        missing = np.array([is_missing(value) for value in flat], bool)
        return flat.reshape(shape), missing.reshape(shape)
    arrays: list[tuple[np.ndarray, np.ndarray] | None] = []
    first: tuple[int, ...] | None = None
    for row, value in enumerate(values):
        if np.ndim(value) == 0 and is_missing(value):
            arrays.append(None)
            continue
        array, missing = array_and_missing(name, value)
        first = array.shape if first is None else first
        if array.shape != first:
            raise UserError(
                f"modality {name!r}: example {row} has shape {list(array.shape)}, and those "
                f"before it {list(first)}"
            )
        arrays.append((array, missing))
    present = next(pair for pair in arrays if pair is not None)
    absent = np.zeros_like(present[0]), np.ones(present[0].shape, bool)
    pairs = [absent if pair is None else pair for pair in arrays]
    stacked, absences = (np.stack(part) for part in zip(*pairs, strict=True))
    return stacked, absences


def _category_numbers(values: Any, missing: np.ndarray) -> np.ndarray | None:
    """Returns the numbers of a pandas category's classes; None of other values.

    Categories that are integers are their own numbers, others are numbered in their order.
    """
    categories = getattr(getattr(values, "dtype", None), "categories", None)
    codes = getattr(getattr(values, "cat", values), "codes", None)
    if categories is None or codes is None:
        return None
    codes, own = np.asarray(codes), np.asarray(categories)
    whole = own.dtype.kind in "iu" or (own.dtype.kind == "f" and bool(np.all(own == np.round(own))))
    if whole and len(own):
        codes = own[np.maximum(codes, 0)]
    return np.where(missing, 0, codes).astype(np.int32)
