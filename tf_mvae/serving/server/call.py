"""Calls of a signature, and the checks that the REST and gRPC APIs share."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np

from tf_mvae.serving.server.bounds import check_amount, check_values
from tf_mvae.serving.server.errors import RequestError
from tf_mvae.serving.server.settings import Settings
from tf_mvae.serving.server.signature import Field, Signature

__all__ = ["AnswerFormat", "Call", "check_names", "complete_call", "find_signature"]

DEFAULT_SIGNATURE = "serving_default"


class AnswerFormat(Protocol):
    """The format of a response body."""

    def value_bytes(self, field: Field) -> int | None:
        """Returns the estimated bytes per value of an output, or None if unknown."""

    def write(self, outputs: Mapping[str, np.ndarray], examples: int) -> Any:
        """Converts the outputs of a part of a request to a form that `join` accepts."""

    def join(self, parts: list[Any]) -> list[bytes]:
        """Returns the body of a response, in blocks, from its consecutive parts."""


@dataclasses.dataclass
class Call:
    """A valid call of a signature.

    Attributes:
        signature: The signature.
        inputs: Arrays of all inputs, by name.
        examples: The batch size; 1 for a signature without a batch.
        answer: The format of the response.
        decoded: The number of rows that the model decodes: examples times samples.
    """

    signature: Signature
    inputs: dict[str, np.ndarray]
    examples: int
    answer: AnswerFormat
    decoded: int = 1

    def part(self, start: int, stop: int) -> "Call":
        """Returns the call for examples `start` to `stop`, which must be independent."""
        inputs = {k: v[start:stop] if len(v) else v for k, v in self.inputs.items()}
        count = min(stop, self.examples) - start
        return dataclasses.replace(self, inputs=inputs, examples=count, decoded=count)


def find_signature(name: str, signatures: Mapping[str, Signature]) -> Signature:
    """Returns a signature by its name; an empty name means `serving_default`.

    Args:
        name: The name in the request.
        signatures: The model's signatures, by name.

    Raises:
        RequestError: There is no such signature.
    """
    name = name or DEFAULT_SIGNATURE
    if name not in signatures:
        raise RequestError(
            400,
            f'Serving signature name: "{name[:100]}" not found in signature def; '
            f"there are {', '.join(signatures)}",
        )
    return signatures[name]


def check_names(given: Iterable[str], signature: Signature) -> None:
    """Checks the names of a request's inputs.

    Args:
        given: The names in the request.
        signature: The signature.

    Raises:
        RequestError: A name is unknown, or a required input is missing.
    """
    unknown = [str(name)[:100] for name in given if name not in signature.inputs]
    if unknown:
        raise RequestError(
            400,
            f"unknown input {', '.join(unknown[:5])}: signature {signature.name!r} takes "
            f"{', '.join(signature.inputs)}",
        )
    missing = [f for f in signature.inputs.values() if f.name not in given and f.default is None]
    if missing:
        said = ", ".join(f"{field.name} ({field.describe()})" for field in missing)
        raise RequestError(400, f"missing input: {said}")


def complete_call(
    signature: Signature,
    inputs: dict[str, np.ndarray],
    answer: AnswerFormat,
    settings: Settings,
    rows: bool = False,
) -> Call:
    """Returns a checked call; missing inputs get their defaults.

    Args:
        signature: The signature.
        inputs: Arrays of the inputs' types and shapes, by name.
        answer: The format of the response.
        settings: The server's limits.
        rows: Whether the first axis of an input of unknown rank is that of examples.

    Raises:
        RequestError: Inputs differ in their number of examples, a value is out of bounds, or a
            limit is exceeded.
    """
    examples = _count(signature, inputs, rows)
    # In the signature's order: the queues of the server compare inputs by their places.
    inputs = {
        field.name: inputs[field.name] if field.name in inputs else _default(field, examples)
        for field in signature.inputs.values()
    }
    decoded = check_amount(signature, inputs, examples, settings)
    check_values(signature, inputs)
    return Call(signature, inputs, examples, answer, decoded)


def _count(signature: Signature, inputs: dict[str, np.ndarray], rows: bool) -> int:
    sizes = {
        name: len(array)
        for name, array in inputs.items()
        # In row format, a tensor of any rank has its rows first.
        if signature.inputs[name].batched or rows and signature.inputs[name].shape is None
    }
    if not sizes and not signature.needs_examples:
        return 1
    if len(set(sizes.values())) > 1 and (signature.may_be_batched or signature.described):
        said = ", ".join(f"{name} has {size}" for name, size in sizes.items())
        raise RequestError(400, f"the inputs differ in their number of examples: {said}")
    if not sizes or not all(sizes.values()):
        raise RequestError(400, "a request must hold at least one example")
    return max(sizes.values())


def _default(field: Field, examples: int) -> np.ndarray:
    """Returns an input's default; a default of one example is repeated for all examples.

    A default of 0 examples is unchanged: the model recognises omitted inputs by it.
    """
    if field.batched and field.default.shape[:1] == (1,):
        return np.repeat(field.default, examples, axis=0)
    return field.default
