"""Bodies of predict requests, in TensorFlow Serving's row and columnar formats."""

import dataclasses
import json
from collections.abc import Mapping

import numpy as np
import orjson

from tf_mvae.serving.server.bounds import check_amount, check_values
from tf_mvae.serving.server.errors import RequestError
from tf_mvae.serving.server.settings import Settings
from tf_mvae.serving.server.signature import Field, Signature
from tf_mvae.serving.server.tensors import check_shape, is_bytes_object, to_array

__all__ = ["Call", "parse_body", "parse_predict"]

DEFAULT_SIGNATURE = "serving_default"


@dataclasses.dataclass
class Call:
    """A valid call of a signature.

    Attributes:
        signature: The signature.
        inputs: Every input, by name.
        examples: The size of the batch; 1 for a signature that has none.
        rows: Whether it came in row format, as its answer then goes.
        decoded: How many rows the model decodes: examples times samples of each.
        flat: Whether examples of one number each came without the list around it, as the
            answer then goes.
    """

    signature: Signature
    inputs: dict[str, np.ndarray]
    examples: int
    rows: bool
    decoded: int = 1
    flat: bool = False

    def part(self, start: int, stop: int) -> "Call":
        """Returns the call of some of the examples, which have to be independent."""
        inputs = {k: v[start:stop] if len(v) else v for k, v in self.inputs.items()}
        count = min(stop, self.examples) - start
        return dataclasses.replace(self, inputs=inputs, examples=count, decoded=count)


def parse_body(body: bytes) -> dict:
    """Returns the JSON object that a body holds; NaN and Infinity are numbers.

    Raises:
        RequestError: It is not one.
    """
    if not body.strip():
        raise RequestError(400, "JSON Parse error: The document is empty")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as strict:
        if b"NaN" not in body and b"Infinity" not in body:
            raise RequestError(400, f"JSON Parse error: {strict}") from strict
        try:  # the standard library's parser takes the tokens, at a fifth of the speed
            document = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise RequestError(400, f"JSON Parse error: {error}") from error
    if type(document) is not dict:
        raise RequestError(400, "the body must be a JSON object")
    return document


def parse_predict(document: dict, signatures: Mapping[str, Signature], settings: Settings) -> Call:
    """Returns the call that a predict request asks for.

    Args:
        document: The request's body.
        signatures: The model's signatures, by name.
        settings: Limits.

    Raises:
        RequestError: The signature is unknown, an input is unknown or missing, or a value
            is not of its type and shape.
    """
    name = document.get("signature_name", DEFAULT_SIGNATURE) or DEFAULT_SIGNATURE
    if type(name) is not str:
        raise RequestError(400, "'signature_name' must be a string")
    if name not in signatures:
        raise RequestError(
            400,
            f'Serving signature name: "{name[:100]}" not found in signature def; '
            f"there are {', '.join(signatures)}",
        )
    signature = signatures[name]
    if "instances" in document and "inputs" in document:
        raise RequestError(400, "only one of 'instances' and 'inputs' may be there")
    if "instances" in document:
        given, rows = _from_rows(document["instances"], signature), True
    elif "inputs" in document:
        given, rows = _from_columns(document["inputs"], signature), False
    else:
        raise RequestError(400, "Missing 'inputs' or 'instances' key")
    inputs, flat = {}, bool(given)
    for field in signature.inputs.values():
        if field.name in given:
            value = given[field.name]
            array = to_array(value, field, finite=not settings.accept_nonfinite)
            # TensorFlow Serving takes [1.0, 2.0] for two examples of one number each.
            is_flat = field.shape == (None, 1) and array.ndim == 1 and len(array) > 0
            inputs[field.name] = array[:, np.newaxis] if is_flat else array
            flat = flat and is_flat
            check_shape(inputs[field.name], field)
    examples = _count(signature, inputs, rows)
    for field in signature.inputs.values():
        if field.name not in inputs:
            inputs[field.name] = _default(field, examples)
    decoded = check_amount(signature, inputs, examples, settings)
    check_values(signature, inputs)
    return Call(signature, inputs, examples, rows, decoded, flat)


def _from_rows(instances, signature: Signature) -> dict[str, list]:
    if type(instances) is not list or not instances:
        raise RequestError(400, "'instances' must be a list that holds something")
    first = instances[0] if type(instances[0]) is dict else {}
    scalars = [
        field.name
        for field in signature.inputs.values()
        if field.scalar and (field.default is None or field.name in first)
    ]
    if scalars:
        raise RequestError(
            400,
            f"signature {signature.name!r} cannot be called in row format: {', '.join(scalars)} "
            "are single values, not one an instance; send every input by its name under "
            '"inputs" (columnar format)',
        )
    if not signature.inputs:
        raise RequestError(
            400, f'signature {signature.name!r} takes no inputs; send "inputs": {{}}'
        )
    if type(instances[0]) is not dict or is_bytes_object(instances[0]):
        if len(signature.inputs) > 1:
            raise RequestError(
                400,
                "instances is a plain list, but signature "
                f"{signature.name!r} takes {', '.join(signature.inputs)}: send objects",
            )
        return {next(iter(signature.inputs)): instances}
    for index, instance in enumerate(instances):
        if type(instance) is not dict:
            raise RequestError(400, f"item {index} of 'instances' is not an object as the first is")
        if instance.keys() != instances[0].keys():
            raise RequestError(400, f"item {index} of 'instances' has other keys than the first")
    _check_names(instances[0], signature)
    return {name: [instance[name] for instance in instances] for name in instances[0]}


def _from_columns(values, signature: Signature) -> dict:
    if type(values) is dict and not is_bytes_object(values):
        _check_names(values, signature)
        return values
    if len(signature.inputs) != 1:
        raise RequestError(
            400,
            f"inputs is a plain value, but signature {signature.name!r} takes "
            f"{', '.join(signature.inputs) or 'nothing'}: send an object",
        )
    return {next(iter(signature.inputs)): values}


def _check_names(given: Mapping, signature: Signature) -> None:
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


def _count(signature: Signature, inputs: dict[str, np.ndarray], rows: bool) -> int:
    sizes = {
        name: len(array)
        for name, array in inputs.items()
        # In row format, a tensor of any rank has its rows first.
        if signature.inputs[name].batched or rows and signature.inputs[name].shape is None
    }
    if not sizes:
        return 1
    if len(set(sizes.values())) > 1 and signature.may_be_batched:
        said = ", ".join(f"{name} has {size}" for name, size in sizes.items())
        raise RequestError(400, f"the inputs differ in their number of examples: {said}")
    if not all(sizes.values()):
        raise RequestError(400, "a request must hold at least one example")
    return max(sizes.values())


def _default(field: Field, examples: int) -> np.ndarray:
    """Returns an input's default; one that stands for one example serves each.

    A default of no examples is passed on: it is how a model sees that an input was omitted.
    """
    if field.batched and field.default.shape[:1] == (1,):
        return np.repeat(field.default, examples, axis=0)
    return field.default
