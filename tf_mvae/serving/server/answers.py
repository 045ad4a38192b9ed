"""Bodies of answers, written in pieces.

Python runs one thread at a time. A writer that turns a large array into text at once would
hold up everything else, probes included, so arrays are written a few thousand numbers at a time.
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

# The text of each value of an answer, in pieces: `[`, elements, `]`; or a single value.
# Row format has one value, the list of predictions.
Written = dict[str, list[bytes]]

_PIECE = 4096  # numbers that are written at once
_BLOCK = 64 << 10  # bytes up to which short pieces are joined
_PREDICTIONS = "predictions"
# The length of a value, at most for float32 and about otherwise.
_VALUE_BYTES = {"float": 16, "int": 12, "bool": 6}


@dataclasses.dataclass(frozen=True)
class JsonAnswer:
    """The answer of the REST API.

    Attributes:
        rows: Whether the request came in row format, as its answer then goes.
        flat: Whether examples of one number each came without the list around it, as the
            answer then goes.
    """

    rows: bool
    flat: bool = False

    def value_bytes(self, field: Field) -> int | None:
        """Returns about how long a value of an output is; None if that is not known."""
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
    """Returns the text of the outputs.

    Numbers are the shortest that read back as the same float; NaN, Infinity and -Infinity
    are written so.

    Args:
        outputs: The outputs, by name.
        rows: Whether the request was in row format.
        examples: How many rows it had.

    Raises:
        RequestError: Rows are asked for and the outputs are not a row an example.
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
    """Returns the body of an answer in blocks: "predictions" of rows, "outputs" of columns.

    A single output goes without its name.

    Args:
        parts: The outputs of parts of a request, whose examples follow one another.
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
    """Yields the text of an array, brackets apart."""
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
