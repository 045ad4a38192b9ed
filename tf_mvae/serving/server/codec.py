"""Parses predict requests in TensorFlow Serving's row and columnar JSON formats."""

import json
from collections.abc import Mapping

import numpy as np
import orjson

from tf_mvae.serving.server.answers import JsonAnswer
from tf_mvae.serving.server.call import (
    DEFAULT_SIGNATURE,
    Call,
    check_names,
    complete_call,
    find_signature,
)
from tf_mvae.serving.server.errors import RequestError
from tf_mvae.serving.server.settings import Settings
from tf_mvae.serving.server.signature import Signature
from tf_mvae.serving.server.tensors import check_json_form, check_shape, is_bytes_object, to_array

__all__ = ["parse_body", "parse_predict"]


def parse_body(body: bytes) -> dict:
    """Parses a body as a JSON object; `NaN` and `Infinity` are accepted as numbers.

    Args:
        body: The request's body.

    Raises:
        RequestError: The body is not a JSON object.
    """
    if not body.strip():
        raise RequestError(400, "JSON Parse error: The document is empty")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as strict:
        if b"NaN" not in body and b"Infinity" not in body:
            raise RequestError(400, f"JSON Parse error: {strict}") from strict
        try:  # the standard library's parser accepts them, but takes five times as long
            document = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise RequestError(400, f"JSON Parse error: {error}") from error
    if type(document) is not dict:
        raise RequestError(400, "the body must be a JSON object")
    return document


def parse_predict(document: dict, signatures: Mapping[str, Signature], settings: Settings) -> Call:
    """Converts the body of a predict request to a checked call.

    Args:
        document: The parsed body.
        signatures: The model's signatures, by name.
        settings: The server's limits.

    Raises:
        RequestError: The signature is unknown, an input is unknown or missing, or a value
            is not of its type and shape.
    """
    name = document.get("signature_name", DEFAULT_SIGNATURE)
    if name is not None and type(name) is not str:
        raise RequestError(400, "'signature_name' must be a string")
    signature = find_signature(name, signatures)
    for field in signature.outputs.values():
        check_json_form(field)
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
            # TensorFlow Serving interprets [1.0, 2.0] as two examples of one number each.
            is_flat = field.shape == (None, 1) and array.ndim == 1 and len(array) > 0
            inputs[field.name] = array[:, np.newaxis] if is_flat else array
            flat = flat and is_flat
            check_shape(inputs[field.name].shape, field)
    return complete_call(signature, inputs, JsonAnswer(rows, flat), settings, rows)


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
    check_names(instances[0], signature)
    return {name: [instance[name] for instance in instances] for name in instances[0]}


def _from_columns(values, signature: Signature) -> dict:
    if type(values) is dict and not is_bytes_object(values):
        check_names(values, signature)
        return values
    if len(signature.inputs) != 1:
        raise RequestError(
            400,
            f"inputs is a plain value, but signature {signature.name!r} takes "
            f"{', '.join(signature.inputs) or 'nothing'}: send an object",
        )
    return {next(iter(signature.inputs)): values}
