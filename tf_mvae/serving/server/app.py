"""The routes: TensorFlow Serving's REST API, probes, metrics, and the page."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator, Callable

import orjson
from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from tf_mvae.serving.server.batching import Batcher
from tf_mvae.serving.server.codec import parse_body, parse_predict
from tf_mvae.serving.server.errors import RequestError
from tf_mvae.serving.server.guard import Guard, read_body
from tf_mvae.serving.server.metrics import Metrics
from tf_mvae.serving.server.openapi import describe
from tf_mvae.serving.server.repository import Repository, State
from tf_mvae.serving.server.saved_model import ServedVersion
from tf_mvae.serving.server.settings import Settings

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
    "style.css": "text/css",
    "icon.svg": "image/svg+xml",
}
# Bodies above this are parsed in a thread, so that the event loop goes on.
_LARGE_BODY = 128 << 10


def make_app(settings: Settings, repository: Repository, metrics: Metrics) -> Starlette:
    """Returns the ASGI application.

    Args:
        settings: Limits, the model's name, the token.
        repository: The versions that are served.
        metrics: What is counted.
    """
    endpoints = _Endpoints(settings, repository, metrics)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        watcher = asyncio.create_task(repository.watch())
        try:
            yield
        finally:
            watcher.cancel()
            endpoints.batcher.close()

    routes = []
    for at in ("", "/versions/{version:int}", "/labels/{label}"):
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
        middleware=[Middleware(Guard, settings=settings, metrics=metrics)],
        exception_handlers={HTTPException: _http_error, RequestError: _request_error},
        lifespan=lifespan,
    )
    app.state.batcher = endpoints.batcher
    return app


class _Endpoints:
    """What the routes answer."""

    def __init__(self, settings: Settings, repository: Repository, metrics: Metrics):
        self._settings = settings
        self._repository = repository
        self._metrics = metrics
        self.batcher = Batcher(settings, metrics)

    async def predict(self, request: Request) -> Response:
        found = self._find(request)
        self.batcher.check_room()
        body = await read_body(request.scope, request.receive, self._settings)
        # Found again: while a slow body came in, a version may have been replaced.
        found = self._find(request)
        with self._repository.use(found):
            if len(body) > _LARGE_BODY:
                call = await asyncio.to_thread(self._parse, body, found)
            else:
                call = self._parse(body, found)
            answer = await self.batcher.submit(found, call)
        return Response(answer, media_type="application/json")

    def _parse(self, body: bytes, found: ServedVersion):
        return parse_predict(parse_body(body), found.signatures, self._settings)

    async def other_method(self, request: Request) -> Response:
        """Answers classify and regress, which a signature has if its method says so."""
        method = request.path_params["method"]
        if method not in ("classify", "regress"):
            path = request.url.path[:200]
            raise RequestError(400, f"Malformed request: {request.method} {path}")
        found = self._find(request)
        document = parse_body(await read_body(request.scope, request.receive, self._settings))
        name = document.get("signature_name") or "serving_default"
        if not isinstance(name, str) or name not in found.signatures:
            raise RequestError(
                400, f'Serving signature name: "{str(name)[:100]}" not found in signature def'
            )
        kind = {"classify": "classification", "regress": "regression"}[method]
        actual = found.signatures[name].method
        wanted = f"tensorflow/serving/{method}"
        if actual != wanted:
            raise RequestError(
                400, f"Expected {kind} signature method_name to be {wanted}. Was: {actual}"
            )
        raise RequestError(501, f"{method} is not served; export a predict signature")

    async def status(self, request: Request) -> Response:
        if ":" in request.url.path:
            raise RequestError(405, "predict is called with POST", {"Allow": "POST"})
        self._check_name(request)
        states = self._repository.states
        asked = request.path_params.get("version")
        if "label" in request.path_params:
            asked = self._find(request).version
        if asked is not None:
            if asked not in states:
                name = self._settings.model_name
                raise RequestError(404, f"Could not find version {asked} of model {name}")
            states = {asked: states[asked]}
        entries = [_status_of(number, states[number]) for number in sorted(states, reverse=True)]
        return _json({"model_version_status": entries}, indent=True)

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
        return _json({"model_spec": spec, "metadata": metadata}, indent=True)

    async def health(self, _: Request) -> Response:
        return _json({"status": "alive"})

    async def readiness(self, _: Request) -> Response:
        ready = self._repository.ready
        return _json({"status": "ready" if ready else "loading"}, status=200 if ready else 503)

    async def metrics(self, _: Request) -> Response:
        return Response(self._metrics.text(), headers={"Content-Type": self._metrics.content_type})

    async def openapi(self, _: Request) -> Response:
        newest = self._repository.find()
        return _json(describe(self._settings, newest.signatures, newest.version))

    async def page(self, _: Request) -> Response:
        return FileResponse(_PAGE / "index.html", headers=_PAGE_HEADERS)

    async def page_file(self, request: Request) -> Response:
        name = request.path_params["file"]
        if name not in _FILES:
            raise RequestError(404, "no such file")
        return FileResponse(_PAGE / name, media_type=_FILES[name], headers=_PAGE_HEADERS)

    async def page_description(self, _: Request) -> Response:
        """What the page needs to know of the newest version."""
        newest = self._repository.find()
        signatures = {
            name: {
                "inputs": {f.name: f.describe() for f in signature.inputs.values()},
                "outputs": {f.name: f.describe() for f in signature.outputs.values()},
            }
            for name, signature in newest.signatures.items()
        }
        return _json(
            {
                "model_name": self._settings.model_name,
                "version": newest.version,
                "max_examples": self._settings.max_examples,
                "signatures": signatures,
                "description": newest.description,
            }
        )

    def _check_name(self, request: Request) -> None:
        name = request.path_params["name"]
        if name != self._settings.model_name:
            raise RequestError(404, f"Servable not found for request: Latest({name[:100]})")

    def _find(self, request: Request) -> ServedVersion:
        self._check_name(request)
        parameters = request.path_params
        return self._repository.find(parameters.get("version"), parameters.get("label"))


def _route(path: str, endpoint: Callable, method: str) -> Route:
    async def named(request: Request) -> Response:
        request.scope["state"]["route"] = endpoint.__name__
        return await endpoint(request)

    return Route(path, named, methods=[method])


def _status_of(version: int, state: State) -> dict:
    status = {"error_code": state.error_code, "error_message": state.error_message}
    return {"version": str(version), "state": state.state, "status": status}


def _json(value: object, status: int = 200, indent: bool = False) -> Response:
    body = orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else None)
    return Response(body, status_code=status, media_type="application/json")


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    body = orjson.dumps({"error": message.encode("utf-8", "replace").decode()})
    return Response(body, status_code=status, media_type="application/json", headers=headers)


async def _http_error(_: Request, error: HTTPException) -> Response:
    return _error(error.status_code, error.detail, dict(error.headers or {}))


async def _request_error(_: Request, error: RequestError) -> Response:
    return _error(error.status, error.message, error.headers)
