"""The OpenAPI document of the served model: its routes and tensors."""

from typing import Any

from tf_mvae.serving.server.settings import Settings
from tf_mvae.serving.server.signature import Field, Signature

__all__ = ["describe"]

_ERRORS = {
    400: "The request does not fit the signature.",
    401: "The token is missing or wrong.",
    404: "No such model or version.",
    408: "The request took too long to arrive.",
    413: "The body is too long.",
    415: "The body is packed in a way other than gzip.",
    421: "The server does not answer to this Host.",
    429: "There is no memory for this request now.",
    503: "There is no room for this request now; Retry-After says when.",
    504: "The answer took too long.",
}


def describe(settings: Settings, signatures: dict[str, Signature], version: int) -> dict[str, Any]:
    """Returns the OpenAPI document of a version.

    Args:
        settings: The server's settings; the model's name and the token are used.
        signatures: The signatures of the newest version.
        version: The number of this version.
    """
    base = f"/v1/models/{settings.model_name}"
    paths: dict[str, Any] = {}
    for at in ("", f"/versions/{version}"):
        paths[f"{base}{at}"] = {"get": _get("The state of the versions", "status" + at)}
        paths[f"{base}{at}/metadata"] = {"get": _get("The signatures", "metadata" + at)}
        paths[f"{base}{at}:predict"] = {"post": _predict(signatures, "predict" + at)}
    paths["/healthz"] = {"get": _get("Whether the process lives", "health", {200: "It does."})}
    paths["/readyz"] = {"get": _get("Whether a model is served", "readiness")}
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": f"{settings.model_name}, as TensorFlow Serving's REST API",
            "version": str(version),
        },
        "paths": paths,
        "components": {
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {"error": {"type": "string"}},
                }
            }
        },
    }
    if settings.token is not None:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
    return document


def _get(summary: str, name: str, answers: dict[int, str] | None = None) -> dict[str, Any]:
    answers = answers or {200: "The server answers.", **{k: _ERRORS[k] for k in (401, 404, 503)}}
    answers |= {400: "The request has several Hosts.", 421: _ERRORS[421]}
    return {
        "summary": summary,
        "operationId": name.replace("/", "_"),
        "responses": {str(status): _answer(status, said) for status, said in answers.items()},
    }


def _predict(signatures: dict[str, Signature], name: str) -> dict[str, Any]:
    requests, answers = [], []
    for signature in signatures.values():
        requests.append(_request(signature, "inputs"))
        if signature.free_of_scalars and signature.inputs:
            requests.append(_request(signature, "instances"))
    answers = {
        "anyOf": [
            {"type": "object", "required": [key], "properties": {key: {}}}
            for key in ("predictions", "outputs")
        ]
    }
    responses = {str(status): _answer(status, said) for status, said in _ERRORS.items()}
    responses["200"] = {
        "description": "The outputs; a single one without its name.",
        "content": {"application/json": {"schema": answers}},
    }
    return {
        "summary": "Runs a signature",
        "operationId": name.replace("/", "_"),
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"anyOf": requests}}},
        },
        "responses": responses,
    }


def _request(signature: Signature, key: str) -> dict[str, Any]:
    fields = signature.inputs.values()
    rows = key == "instances"
    one = {
        "type": "object",
        "additionalProperties": False,
        "required": [field.name for field in fields if field.default is None],
        "properties": {
            f.name: _schema(f, f.shape[1:] if rows and f.shape else f.shape) for f in fields
        },
    }
    properties = {
        "signature_name": {"const": signature.name},
        key: {"type": "array", "minItems": 1, "items": one} if rows else one,
    }
    required = [key]
    if signature.name != "serving_default":
        required.append("signature_name")
    return {"type": "object", "required": required, "properties": properties}


def _schema(field: Field, shape: tuple[int | None, ...] | None) -> dict[str, Any]:
    if field.kind == "float":
        schema: dict[str, Any] = {"type": "number"}
    elif field.kind == "int":
        low, high = field.bounds
        schema = {"type": "integer", "minimum": low, "maximum": high}
    elif field.kind == "bool":
        schema = {"type": "boolean"}
    else:
        coded = {
            "type": "object",
            "required": ["b64"],
            "additionalProperties": False,
            "properties": {"b64": {"type": "string", "contentEncoding": "base64"}},
        }
        schema = {"anyOf": [{"type": "string"}, coded]}
    if shape is None:
        return {"description": field.describe()}
    for size in reversed(shape):
        schema = {"type": "array", "items": schema}
        if size is not None:
            schema.update(minItems=size, maxItems=size)
    return {**schema, "description": field.describe()}


def _answer(status: int, said: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Error"} if status >= 400 else {"type": "object"}
    return {"description": said, "content": {"application/json": {"schema": schema}}}
