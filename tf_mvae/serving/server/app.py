"""The routes: TensorFlow Serving's REST API, probes, metrics, and the page."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator, Callable

from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from tf_mvae.serving.server.bodies import read_body
from tf_mvae.serving.server.call import Call
from tf_mvae.serving.server.codec import parse_body, parse_predict
from tf_mvae.serving.server.errors import RequestError
from tf_mvae.serving.server.guard import Guard
from tf_mvae.serving.server.openapi import describe
from tf_mvae.serving.server.repository import State
from tf_mvae.serving.server.responses import AnswerResponse, error_response, json_response
from tf_mvae.serving.server.saved_model import ServedVersion
from tf_mvae.serving.server.service import Service
from tf_mvae.serving.versions import version_number

__all__ = ["make_app"]

_PAGE = pathlib.Path(__file__).parent / "page"
_PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_FILES = {
    "app.js": "text/javascript",
    "editors.js": "text/javascript",
    "pictures.js": "text/javascript",
    "requests.js": "text/javascript",
    "style.css": "text/css",
    "icon.svg": "image/svg+xml",
}


def make_app(service: Service) -> Starlette:
    """Returns the ASGI application of a service.

    Args:
        service: The service that answers requests.
    """
    settings, endpoints = service.settings, _Endpoints(service)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        watcher = asyncio.create_task(service.repository.watch())
        try:
            yield
        finally:
            watcher.cancel()

    routes = []
    for at in ("", "/versions/{version}", "/labels/{label}"):
        model = "/v1/models/{name}" + at
        routes += [
            _route(f"{model}:predict", endpoints.predict, "POST"),
            _route(f"{model}:{{method}}", endpoints.other_method, "POST"),
            _route(f"{model}/metadata", endpoints.metadata, "GET"),
            _route(model, endpoints.status, "GET"),
        ]
    routes += [
        _route("/healthz", endpoints.health, "GET"),
        _route("/readyz", endpoints.readiness, "GET"),
        _route("/metrics", endpoints.metrics, "GET"),
        _route("/openapi.json", endpoints.openapi, "GET"),
    ]
    if settings.page:
        routes += [
            _route("/", endpoints.page, "GET"),
            _route("/page/{file}", endpoints.page_file, "GET"),
            _route("/v1/page", endpoints.page_description, "GET"),
        ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Guard, settings=settings, metrics=service.metrics)],
        exception_handlers={HTTPException: _http_error, RequestError: _request_error},
        lifespan=lifespan,
    )
    # A redirect to the path without its slash would copy the Host header into its URL.
    app.router.redirect_slashes = False
    return app


class _Endpoints:
    """The functions of the routes."""

    def __init__(self, service: Service):
        self._service = service
        self._settings = service.settings
        self._repository = service.repository

    async def predict(self, request: Request) -> Response:
        service = self._service
        self._find(request)
        service.batcher.check_room()
        held = service.answers.reserve()
        try:
            with service.bodies.reserve() as body_held:
                body = await read_body(request.scope, request.receive, self._settings, body_held)
                # Look up the version again: it may have been replaced while a slow body arrived.
                found = self._find(request)
                blocks = await service.answer(
                    found, lambda: self._parse(body, found), len(body), held
                )
            return AnswerResponse(blocks, held)
        except BaseException:
            held.release()
            raise

    def _parse(self, body: bytes, found: ServedVersion) -> Call:
        return parse_predict(parse_body(body), found.signatures, self._settings)

    async def other_method(self, request: Request) -> Response:
        """Rejects `classify` and `regress`, with TensorFlow Serving's messages."""
        method = request.path_params["method"]
        if method not in ("classify", "regress"):
            raise RequestError(400, _malformed(request))
        found = self._find(request)
        with self._service.bodies.reserve() as held:
            body = await read_body(request.scope, request.receive, self._settings, held)
            document = parse_body(body)
        name = document.get("signature_name") or ""
        raise self._service.refuse_method(
            found, method, name if isinstance(name, str) else str(name)
        )

    async def status(self, request: Request) -> Response:
        if ":" in request.url.path:
            raise RequestError(405, "predict is called with POST", {"Allow": "POST"})
        params = request.path_params
        states = self._service.states(params["name"], _version_of(request), params.get("label"))
        entries = [_status_of(number, state) for number, state in states.items()]
        return json_response({"model_version_status": entries}, indent=True)

    async def metadata(self, request: Request) -> Response:
        found = self._find(request)
        signatures = {
            name: json_format.MessageToDict(
                definition,
                always_print_fields_with_no_presence=True,
                preserving_proto_field_name=True,
            )
            for name, definition in found.definitions.items()
        }
        version = str(found.version)
        spec = {"name": self._settings.model_name, "signature_name": "", "version": version}
        metadata = {
            "signature_def": {
                "@type": "type.googleapis.com/tensorflow.serving.SignatureDefMap",
                "signature_def": signatures,
            }
        }
        return json_response({"model_spec": spec, "metadata": metadata}, indent=True)

    async def health(self, _: Request) -> Response:
        return json_response({"status": "alive"})

    async def readiness(self, _: Request) -> Response:
        ready = self._repository.ready
        return json_response(
            {"status": "ready" if ready else "loading"}, status=200 if ready else 503
        )

    async def metrics(self, _: Request) -> Response:
        metrics = self._service.metrics
        return Response(metrics.text(), headers={"Content-Type": metrics.content_type})

    async def openapi(self, _: Request) -> Response:
        newest = self._repository.find()
        return json_response(describe(self._settings, newest.signatures, newest.version))

    async def page(self, _: Request) -> Response:
        return FileResponse(_PAGE / "index.html", headers=_PAGE_HEADERS)

    async def page_file(self, request: Request) -> Response:
        name = request.path_params["file"]
        if name not in _FILES:
            raise RequestError(404, "no such file")
        return FileResponse(_PAGE / name, media_type=_FILES[name], headers=_PAGE_HEADERS)

    async def page_description(self, _: Request) -> Response:
        """Returns the signatures and the description of the newest version, for the page."""
        newest = self._repository.find()
        signatures = {
            name: {
                "inputs": {f.name: f.describe() for f in signature.inputs.values()},
                "outputs": {f.name: f.describe() for f in signature.outputs.values()},
            }
            for name, signature in newest.signatures.items()
        }
        return json_response(
            {
                "model_name": self._settings.model_name,
                "version": newest.version,
                "max_examples": self._settings.max_examples,
                "signatures": signatures,
                "description": newest.description,
            }
        )

    def _find(self, request: Request) -> ServedVersion:
        params = request.path_params
        return self._service.find(params["name"], _version_of(request), params.get("label"))


def _route(path: str, endpoint: Callable, method: str) -> Route:
    async def named(request: Request) -> Response:
        request.scope["state"]["route"] = endpoint.__name__
        return await endpoint(request)

    return Route(path, named, methods=[method])


def _version_of(request: Request) -> int | None:
    text = request.path_params.get("version")
    if text is None:
        return None
    number = version_number(text)
    if number is None:
        raise RequestError(400, f"Failed to convert version: {text[:100]} to numeric.")
    return number


def _status_of(version: int, state: State) -> dict:
    status = {"error_code": state.error_code, "error_message": state.error_message}
    return {"version": str(version), "state": state.state, "status": status}


async def _http_error(request: Request, error: HTTPException) -> Response:
    if error.status_code == 404 and request.url.path.startswith("/v1/"):  # as TensorFlow Serving
        return error_response(400, _malformed(request))
    return error_response(error.status_code, error.detail, dict(error.headers or {}))


async def _request_error(_: Request, error: RequestError) -> Response:
    return error_response(error.status, error.message, error.headers)


def _malformed(request: Request) -> str:
    return f"Malformed request: {request.method} {request.url.path[:200]}"
