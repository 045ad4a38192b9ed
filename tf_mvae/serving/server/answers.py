"""JSON response bodies, written in pieces.

Python runs one thread at a time. Converting a large array to text in one call would block all other
requests, health probes included, so arrays are converted a few thousand numbers at a time.
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import orjson

from tf_mvae.serving.server.errors import RequestError
from tf_mvae.serving.server.signature import Field
from tf_mvae.serving.server.tensors import as_json

__all__ = ["JsonAnswer", "Written", "join_answers", "write_answer"]

# The text of each output in pieces: `[`, elements, `]`; or a single value. In row format there is
# one entry, the list of predictions.
Written = dict[str, list[bytes]]

_PIECE = 4096  # numbers to convert in one call
_BLOCK = 64 << 10  # short pieces are joined up to this number of bytes
_PREDICTIONS = "predictions"
# The bytes per value: an upper bound for float32, an estimate for other types.
_VALUE_BYTES = {"float": 16, "int": 12, "bool": 6}


@dataclasses.dataclass(frozen=True)
class JsonAnswer:
    """The format of a response of the REST API.

    Attributes:
        rows: Whether request and response are in row format.
        flat: Whether the examples of the request are single numbers without a list around them; the
            response then has the same form.
    """

    rows: bool
    flat: bool = False

    def value_bytes(self, field: Field) -> int | None:
        """Returns the estimated bytes per value of an output, or None if unknown."""
        return _VALUE_BYTES.get(field.kind)

    def write(self, outputs: Mapping[str, np.ndarray], examples: int) -> Written:
        """Returns the text of outputs; see `write_answer`."""
        if self.flat:
            outputs = {k: v[:, 0] if v.shape[1:] == (1,) else v for k, v in outputs.items()}
        return write_answer(outputs, self.rows, examples)

    def join(self, parts: list[Written]) -> list[bytes]:
        """Returns the body; see `join_answers`."""
        return join_answers(parts, self.rows)


def write_answer(outputs: Mapping[str, np.ndarray], rows: bool, examples: int) -> Written:
    """Converts outputs to JSON text.

    Numbers have the fewest digits that parse to the same float. NaN and infinity are written as
    `NaN`, `Infinity` and `-Infinity`.

    Args:
        outputs: The outputs, by name.
        rows: Whether the request was in row format.
        examples: The number of examples of the request.

    Raises:
        RequestError: Row format was requested, and an output does not have one row per example.
    """
    if not rows:
        return {name: list(_value(name, array)) for name, array in outputs.items()}
    sizes = {name: array.shape[0] if array.ndim else None for name, array in outputs.items()}
    if set(sizes.values()) != {examples}:
        said = ", ".join(f"{name} has {size}" for name, size in sizes.items())
        raise RequestError(
            400,
            f"the outputs are not a row an instance ({said}); "
            'send the request in columnar format, under "inputs"',
        )
    if len(outputs) == 1:
        ((name, array),) = outputs.items()
        return {_PREDICTIONS: list(_value(name, array))}
    return {_PREDICTIONS: [b"[", *_objects(outputs, examples), b"]"]}


def join_answers(parts: list[Written], rows: bool) -> list[bytes]:
    """Returns the body of a response in blocks: `predictions` in row format, otherwise `outputs`.

    If there is a single output, its name is omitted.

    Args:
        parts: The outputs of consecutive parts of a request.
        rows: Whether the request was in row format.
    """
    values = {name: _concatenate([part[name] for part in parts]) for name in parts[0]}
    if rows:
        body = [b'{"predictions":', *values[_PREDICTIONS], b"}"]
    elif len(values) == 1:
        body = [b'{"outputs":', *next(iter(values.values())), b"}"]
    else:
        body = [b'{"outputs":', *_members(values), b"}"]
    return list(_blocks(body))


def _concatenate(lists: list[list[bytes]]) -> list[bytes]:
    joined = lists[0]
    for other in lists[1:]:
        joined = [*joined[:-1], b",", *other[1:]]
    return joined


def _members(values: Mapping[str, Iterable[bytes]]) -> Iterator[bytes]:
    """Yields an object, `{"name": value, …}`."""
    separator = b"{"
    for name, pieces in values.items():
        yield separator + orjson.dumps(name) + b":"
        yield from pieces
        separator = b","
    yield b"}"


def _value(name: str, array: np.ndarray) -> Iterator[bytes]:
    """Yields the text of an array; the outer brackets are separate pieces."""
    as_bytes = name.endswith("_bytes")
    if not array.ndim:
        yield _dump(as_json(array, as_bytes))
        return
    yield b"["
    yield from _elements(array, as_bytes)
    yield b"]"


def _elements(array: np.ndarray, as_bytes: bool) -> Iterator[bytes]:
    """Yields the elements of an array's first axis, with commas between them."""
    count = len(array)
    each = array.size // max(count, 1)
    step = max(_PIECE // max(each, 1), 1)
    separator = b""
    for start in range(0, count, step):
        if array.ndim > 1 and each > _PIECE:  # then step is 1
            yield separator + b"["
            yield from _elements(array[start], as_bytes)
            yield b"]"
        else:
            yield separator + _dump(as_json(array[start : start + step], as_bytes))[1:-1]
        separator = b","


def _objects(outputs: Mapping[str, np.ndarray], examples: int) -> Iterator[bytes]:
    """Yields an object for each example, with commas between them."""
    each = sum(array.size for array in outputs.values()) // max(examples, 1)
    step = max(_PIECE // max(each, 1), 1)
    for start in range(0, examples, step):
        if start:
            yield b","
        if each > _PIECE:
            yield from _members({k: _value(k, v[start]) for k, v in outputs.items()})
            continue
        stop = min(start + step, examples)
        ready = {k: as_json(v[start:stop], k.endswith("_bytes")) for k, v in outputs.items()}
        yield _dump([{k: v[i] for k, v in ready.items()} for i in range(stop - start)])[1:-1]


def _blocks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Joins short pieces that follow one another."""
    waiting, size = [], 0
    for piece in pieces:
        if size + len(piece) > _BLOCK and waiting:
            yield b"".join(waiting)
            waiting, size = [], 0
        waiting.append(piece)
        size += len(piece)
    if waiting:
        yield b"".join(waiting)


def _dump(value) -> bytes:
    if _finite(value):
        return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    return json.dumps(value, default=lambda array: array.tolist(), separators=(",", ":")).encode()


def _finite(value) -> bool:
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    if isinstance(value, list):
        return all(map(_finite, value))
    if isinstance(value, np.ndarray | np.floating | float):
        return bool(np.isfinite(value).all())
    return True
