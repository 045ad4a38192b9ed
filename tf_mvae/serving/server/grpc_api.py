"""TensorFlow Serving's gRPC API: `PredictionService` and `ModelService`.

Messages are received as bytes and parsed here, so that an overloaded server can reject a request
before it receives it. For the client a call is the same unary call as TensorFlow Serving's.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message
from tensorflow.core.protobuf import error_codes_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
    regression_pb2,
)

from tf_mvae.serving.server.budget import Reservation
from tf_mvae.serving.server.call import Call, check_names, complete_call, find_signature
from tf_mvae.serving.server.errors import RequestError, overloaded
from tf_mvae.serving.server.saved_model import ServedVersion
from tf_mvae.serving.server.service import Service
from tf_mvae.serving.server.tensor_protos import TensorAnswer, from_proto
from tf_mvae.serving.server.tokens import TokenCheck

__all__ = ["MODEL_SERVICE", "PREDICTION_SERVICE", "GrpcApi"]

_LOG = logging.getLogger(__name__)

PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
MODEL_SERVICE = "tensorflow.serving.ModelService"

_Context = grpc.aio.ServicerContext


class GrpcApi:
    """The methods of the gRPC API."""

    def __init__(self, service: Service):
        """Makes the methods.

        Args:
            service: The service that answers requests.
        """
        self._service = service
        self._settings = service.settings
        self._check_token = TokenCheck(self._settings.token)
        self._running = 0
        self._receiving = 0

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """Returns the gRPC handlers of all methods."""
        methods = {
            PREDICTION_SERVICE: {
                "Predict": self._predict,
                "GetModelMetadata": self._metadata,
                "Classify": self._classify,
                "Regress": self._regress,
            },
            MODEL_SERVICE: {"GetModelStatus": self._status},
        }
        return [
            grpc.method_handlers_generic_handler(
                service, {name: self._handler(service, name, m) for name, m in own.items()}
            )
            for service, own in methods.items()
        ]

    def _handler(
        self, service: str, name: str, method: Callable[[_Context], Awaitable[bytes]]
    ) -> grpc.RpcMethodHandler:
        """Wraps a method with the check of the token, limits, errors, metrics and the log."""

        async def handle(_: Any, context: _Context) -> bytes:
            started = time.monotonic()
            code, error = "CANCELLED", None
            self._running += 1
            self._service.metrics.running.inc()
            try:
                self._authorise(context)
                if self._running > self._settings.max_connections:
                    self._service.metrics.refused.labels("connections").inc()
                    raise overloaded("too many requests at a time")
                answer = await method(context)
                code = "OK"
                return answer
            except RequestError as refused:
                error = refused
            except Exception:
                _LOG.exception("request failed", extra={"path": f"/{service}/{name}"})
                error = RequestError(500, "internal error")
            finally:
                self._running -= 1
                self._service.metrics.running.dec()
                code = error.code if error else code
                self._record(f"/{service}/{name}", name, code, time.monotonic() - started, context)
            await context.abort(grpc.StatusCode[error.code], error.message)
            raise AssertionError("abort raises")

        return grpc.stream_unary_rpc_method_handler(handle)

    def _authorise(self, context: _Context) -> None:
        sent = dict(context.invocation_metadata() or ()).get("authorization", "")
        self._check_token(sent if isinstance(sent, bytes) else sent.encode())

    async def _receive(
        self, context: _Context, kind: type[Message], held: Reservation
    ) -> tuple[Any, int]:
        """Receives and parses the message of a request; returns it and its size in bytes."""
        if self._receiving >= self._settings.max_queue:
            self._service.metrics.refused.labels("queue_full").inc()
            raise overloaded(f"{self._receiving} requests are being received")
        self._receiving += 1
        seconds = self._settings.read_seconds
        try:
            async with asyncio.timeout(seconds):
                body = await context.read()
        except TimeoutError:
            self._service.metrics.refused.labels("slow").inc()
            raise RequestError(408, f"the body did not arrive within {seconds:g} seconds") from None
        finally:
            self._receiving -= 1
        if body is grpc.aio.EOF:
            raise RequestError(400, "the request holds no message")
        if not held.resize(len(body)):
            raise overloaded("the bodies of other requests fill --max_bodies_bytes")
        try:
            return kind.FromString(body), len(body)
        except DecodeError:
            raise RequestError(400, f"the message is no {kind.DESCRIPTOR.name}") from None

    def _find(self, request: Any) -> ServedVersion:
        return self._service.find(*_model_of(request))

    async def _predict(self, context: _Context) -> bytes:
        service = self._service
        service.batcher.check_room()
        held = service.answers.reserve()
        context.add_done_callback(lambda _: held.release())
        with service.bodies.reserve() as body_held:
            request, size = await self._receive(context, predict_pb2.PredictRequest, body_held)
            found = self._find(request)
            blocks = await service.answer(found, lambda: self._parse(request, found), size, held)
        return b"".join(blocks)

    def _parse(self, request: predict_pb2.PredictRequest, found: ServedVersion) -> Call:
        signature = find_signature(request.model_spec.signature_name, found.signatures)
        check_names(sorted(request.inputs), signature)
        unknown = [name for name in request.output_filter if name not in signature.outputs]
        if unknown:
            raise RequestError(
                400,
                f"unknown output {unknown[0][:100]}: signature {signature.name!r} has "
                f"{', '.join(signature.outputs)}",
            )
        inputs = {
            name: from_proto(request.inputs[name], field, self._settings)
            for name, field in signature.inputs.items()
            if name in request.inputs
        }
        answer = TensorAnswer(
            signature,
            tuple(dict.fromkeys(request.output_filter or signature.outputs)),
            self._settings.model_name,
            found.version,
            self._settings.grpc_tensor_content,
        )
        return complete_call(signature, inputs, answer, self._settings)

    async def _metadata(self, context: _Context) -> bytes:
        kind = get_model_metadata_pb2.GetModelMetadataRequest
        with self._service.bodies.reserve() as held:
            request, _ = await self._receive(context, kind, held)
        found = self._find(request)
        if not request.metadata_field:
            raise RequestError(
                400, "GetModelMetadataRequest must specify at least one metadata_field"
            )
        for field in request.metadata_field:
            if field != "signature_def":
                raise RequestError(400, f"Metadata field {field[:100]} is not supported")
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = self._settings.model_name
        response.model_spec.version.value = found.version
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, definition in found.definitions.items():
            signatures.signature_def[name].CopyFrom(definition)
        response.metadata["signature_def"].Pack(signatures)
        return response.SerializeToString()

    async def _status(self, context: _Context) -> bytes:
        kind = get_model_status_pb2.GetModelStatusRequest
        with self._service.bodies.reserve() as held:
            request, _ = await self._receive(context, kind, held)
        response = get_model_status_pb2.GetModelStatusResponse()
        for version, state in self._service.states(*_model_of(request)).items():
            entry = response.model_version_status.add(version=version)
            entry.state = get_model_status_pb2.ModelVersionStatus.State.Value(state.state)
            entry.status.error_code = error_codes_pb2.Code.Value(state.error_code)
            entry.status.error_message = state.error_message
        return response.SerializeToString()

    async def _classify(self, context: _Context) -> bytes:
        return await self._refuse(context, "classify", classification_pb2.ClassificationRequest)

    async def _regress(self, context: _Context) -> bytes:
        return await self._refuse(context, "regress", regression_pb2.RegressionRequest)

    async def _refuse(self, context: _Context, method: str, kind: type[Message]) -> bytes:
        with self._service.bodies.reserve() as held:
            request, _ = await self._receive(context, kind, held)
        signature = request.model_spec.signature_name
        raise self._service.refuse_method(self._find(request), method, signature)

    def _record(self, path: str, name: str, code: str, seconds: float, context: _Context) -> None:
        metrics, route = self._service.metrics, f"grpc_{name}"
        metrics.requests.labels(route, code).inc()
        metrics.seconds.labels(route).observe(seconds)
        # Rejections under overload are counted but not logged, because logs would add to the load.
        failed = code in ("INTERNAL", "DEADLINE_EXCEEDED")
        if self._settings.access_log or failed:
            _LOG.log(
                logging.WARNING if failed else logging.INFO,
                "request",
                extra={
                    "method": "gRPC",
                    "path": path,
                    "status": code,
                    "milliseconds": round(1000 * seconds, 3),
                    "client": context.peer(),
                },
            )


def _model_of(request: Any) -> tuple[str, int | None, str | None]:
    """Returns the name, version and label in a request's `model_spec`."""
    if not request.HasField("model_spec"):
        raise RequestError(400, "Missing ModelSpec")
    spec = request.model_spec
    if not spec.name:
        raise RequestError(400, "ModelSpec has no name specified.")
    choice = spec.WhichOneof("version_choice")
    return (
        spec.name,
        spec.version.value if choice == "version" else None,
        spec.version_label if choice == "version_label" else None,
    )
