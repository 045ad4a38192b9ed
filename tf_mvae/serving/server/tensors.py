"""Converts JSON values to arrays and back, by TensorFlow Serving's mapping, with strict types.

Nested lists are flattened level by level, and NumPy converts only flat lists of a single type. From
a mixed list it would make strings, each as long as the longest one.
"""

import base64
import binascii
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_mvae.serving.server.errors import RequestError
from tf_mvae.serving.server.signature import Field

__all__ = ["as_json", "check_finite", "check_shape", "is_bytes_object", "refusal", "to_array"]

_MOST_AXES = 32  # as many as arrays of every NumPy may have
_KINDS = {"float": {float, int}, "int": {int}, "bool": {bool}, "string": {str, dict}}
_SAID = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "true or false",
    float: "a decimal number",
    int: "a whole number",
    type(None): "null",
}


def is_bytes_object(value: Any) -> bool:
    """Returns whether a value is `{"b64": "…"}`, the JSON form of bytes."""
    return type(value) is dict and len(value) == 1 and type(value.get("b64")) is str


def to_array(value: Any, field: Field, finite: bool = False) -> np.ndarray:
    """Converts a JSON value to the array of an input.

    Args:
        value: The value in the request.
        field: The input.
        finite: Whether to reject NaN and infinity.

    Raises:
        RequestError: The value has another type, or lists differ in length.
    """
    check_json_form(field)
    found = _flatten_numbers(value, field)
    flat, shape = found or _flatten(value, field)
    wrong = set() if found else set(map(type, flat)) - _KINDS[field.kind]
    if wrong:
        said = " or ".join(sorted(_SAID.get(t, t.__name__) for t in wrong))
        raise refusal(field, f"takes {field.describe()}; {said} was sent")
    try:
        array = _convert(flat, field)
    except (OverflowError, ValueError) as error:
        raise refusal(field, f"takes {field.describe()}; {error}") from error
    if finite:
        check_finite(array, field)
    return array.reshape(shape)


def check_json_form(field: Field) -> None:
    """Checks that JSON can hold an input or output.

    Args:
        field: The input or output.

    Raises:
        RequestError: It cannot: the type is complex, for example.
    """
    if field.kind not in _KINDS:
        raise RequestError(501, f"tensors of type {field.dtype.name} have no JSON form")


def check_finite(array: np.ndarray, field: Field) -> None:
    """Checks that an array is finite.

    Args:
        array: The array.
        field: The input, for the message.

    Raises:
        RequestError: A value is NaN or infinite.
    """
    if field.kind != "float":
        return
    known = array if array.dtype.kind == "f" else array.astype(np.float32)  # bfloat16
    if not np.isfinite(known).all():
        raise refusal(field, "holds NaN or infinity, which this server refuses")


def check_shape(shape: Sequence[int], field: Field) -> None:
    """Checks that a shape fits an input.

    Args:
        shape: The shape of an array.
        field: The input.

    Raises:
        RequestError: The shape does not fit, or has too many axes.
    """
    if len(shape) > _MOST_AXES:
        raise refusal(field, f"takes {field.describe()}; {len(shape)} axes were sent")
    if field.shape is None:
        return
    fits = len(shape) == len(field.shape) and all(
        wanted is None or wanted == size for wanted, size in zip(field.shape, shape, strict=True)
    )
    if not fits:
        raise refusal(field, f"takes {field.describe()}; shape {list(shape)} was sent")


def as_json(array: np.ndarray, as_bytes: bool = False) -> Any:
    """Converts an array for a JSON writer: contiguous numbers, decoded strings.

    Args:
        array: The array; strings are bytes in an array of objects.
        as_bytes: Whether to write strings as `{"b64": "…"}`; those that are not UTF-8 always are.
    """
    if array.dtype == object:
        return _map_strings(array.tolist(), as_bytes)
    if array.dtype.kind not in "fiub":  # bfloat16 and its like
        array = array.astype(np.float32)
    return array.item() if array.ndim == 0 else np.ascontiguousarray(array)


def _map_strings(value: Any, as_bytes: bool) -> Any:
    if isinstance(value, list):
        return [_map_strings(item, as_bytes) for item in value]
    if not as_bytes:
        try:
            return value.decode()
        except UnicodeDecodeError:
            pass
    return {"b64": base64.b64encode(value).decode()}


def _flatten_numbers(value: Any, field: Field) -> tuple[list, list[int]] | None:
    """A fast version of `_flatten` for nested lists of numbers; None for any other value.

    Values other than lists that have a length (strings, objects) are flattened to strings, which
    the last check rejects.
    """
    if field.shape is None or field.kind == "string":
        return None
    level, shape = [value], []
    try:
        for _ in field.shape:
            (length,) = set(map(len, level))
            shape.append(length)
            level = list(itertools.chain.from_iterable(level))
    except (TypeError, ValueError):
        return None
    return (level, shape) if set(map(type, level)) <= _KINDS[field.kind] else None


def _flatten(value: Any, field: Field) -> tuple[list, list[int]]:
    deepest = _MOST_AXES if field.shape is None else len(field.shape)
    level, shape = [value], []
    while level:
        kinds = set(map(type, level))
        if list not in kinds:
            break
        if len(shape) == deepest:
            raise refusal(field, f"takes {field.describe()}; lists are nested deeper")
        lengths = set(map(len, level)) if len(kinds) == 1 else set()
        if len(lengths) != 1:
            raise refusal(
                field, f"takes {field.describe()}; lists at depth {len(shape)} differ in size"
            )
        shape.append(lengths.pop())
        level = list(itertools.chain.from_iterable(level))
    else:  # an empty list: 0 examples, with the remaining sizes from the input's shape
        if field.shape is not None and len(shape) < deepest:
            shape += [size or 0 for size in field.shape[len(shape) :]]
    return level, shape


def _convert(flat: list, field: Field) -> np.ndarray:
    dtype = field.numpy_dtype
    if field.kind == "string":
        array = np.empty(len(flat), object)
        array[:] = [_to_bytes(value) for value in flat]
        return array
    if field.kind == "bool":
        return np.array(flat, np.bool_)
    if field.kind == "int":
        low, high = field.bounds
        if flat and not low <= min(flat) <= max(flat) <= high:
            raise OverflowError(f"its values must lie in {low} to {high}")
        return np.array(flat, dtype)
    wide = np.array(flat, np.float64)
    if dtype == np.float64:
        return wide
    with np.errstate(over="ignore"):
        array = wide.astype(dtype)
    infinite = ~np.isfinite(array.astype(np.float32, copy=False))
    if infinite.any() and np.isfinite(wide[infinite]).any():
        raise OverflowError(f"a number is too large for {field.dtype.name}")
    return array


def _to_bytes(value: str | dict) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if not is_bytes_object(value):
        raise ValueError('an object must be {"b64": "…"}')
    try:
        return base64.b64decode(value["b64"], validate=True)
    except binascii.Error as error:
        raise ValueError(f"b64 cannot be decoded: {error}") from error


def refusal(field: Field, why: str) -> RequestError:
    """Returns the error of a value that does not fit an input.

    Args:
        field: The input.
        why: The rest of the message, after the input's name.
    """
    return RequestError(400, f"input {field.name!r} {why}")
