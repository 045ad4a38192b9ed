"""JSON values to arrays and back, by TensorFlow Serving's mapping, strictly typed.

Nested lists become arrays level by level. NumPy is shown flat lists of one kind only: on a
mixed list it would make every number as wide as the longest string next to it.
"""

import base64
import binascii
import itertools
from typing import Any

import numpy as np

from tf_mvae.serving.server.errors import RequestError
from tf_mvae.serving.server.signature import Field

__all__ = ["as_json", "check_finite", "check_shape", "is_bytes_object", "refusal", "to_array"]

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
    """Returns whether a value is `{"b64": "…"}`, which stands for bytes."""
    return type(value) is dict and len(value) == 1 and type(value.get("b64")) is str


def to_array(value: Any, field: Field, finite: bool = False) -> np.ndarray:
    """Returns a JSON value as the array that an input takes.

    Args:
        value: What stood in the request.
        field: The input.
        finite: Whether NaN and infinity are refused.

    Raises:
        RequestError: It is not of the type, or lists differ in length.
    """
    if field.kind not in _KINDS:
        raise RequestError(501, f"tensors of type {field.dtype.name} have no JSON form")
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


def check_finite(array: np.ndarray, field: Field) -> None:
    """Refuses NaN and infinity."""
    if field.kind == "float" and not np.isfinite(array.astype(np.float32)).all():
        raise refusal(field, "holds NaN or infinity, which this server refuses")


def check_shape(array: np.ndarray, field: Field) -> None:
    """Refuses an array that an input's shape does not allow."""
    if field.shape is None:
        return
    fits = array.ndim == len(field.shape) and all(
        wanted is None or wanted == size
        for wanted, size in zip(field.shape, array.shape, strict=True)
    )
    if not fits:
        raise refusal(field, f"takes {field.describe()}; shape {list(array.shape)} was sent")


def as_json(array: np.ndarray, as_bytes: bool = False) -> Any:
    """Returns an array as a JSON writer takes it: contiguous, strings decoded.

    Args:
        array: The array; strings are bytes in an array of objects.
        as_bytes: Whether strings become `{"b64": "…"}`; those that are not UTF-8 always do.
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
    """Returns what `_flatten` does, in fewer passes; None where it would be wrong to guess.

    What is no list but has a length, a string or an object, comes out as strings, and is not
    taken for numbers.
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
    deepest = 32 if field.shape is None else len(field.shape)
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
    else:  # an empty list stands for no examples, whatever they would be
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
    """Returns the error of a value that an input does not take."""
    return RequestError(400, f"input {field.name!r} {why}")
