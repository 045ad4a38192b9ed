"""Around the application: who may ask, how much, how long; and a record of it."""

import asyncio
import hmac
import logging
import time
import zlib

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tf_mvae.serving.server.errors import RequestError
from tf_mvae.serving.server.metrics import Metrics
from tf_mvae.serving.server.settings import Settings

__all__ = ["Guard", "read_body"]

_LOG = logging.getLogger(__name__)
_OPEN = {"/", "/healthz", "/readyz"}  # no token: probes, and the page that asks for one


class Guard:
    """ASGI middleware: token, metrics, logs, and errors as `{"error": …}`."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics):
        """Wraps an application."""
        self._app = app
        self._metrics = metrics
        self._access_log = settings.access_log
        self._token = None if settings.token is None else f"Bearer {settings.token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._metrics.running.inc()
        try:
            self._authorise(scope)
            await self._app(scope, receive, watched)
        except RequestError as error:
            if not status:
                await send_error(error, watched)
        except Exception:
            _LOG.exception("request failed", extra={"path": scope["path"]})
            if not status:
                await send_error(RequestError(500, "internal error"), watched)
        finally:
            self._metrics.running.dec()
            self._record(scope, status or 499, time.monotonic() - started)

    def _authorise(self, scope: Scope) -> None:
        path = scope["path"]
        if self._token is None or path in _OPEN or path.startswith("/page/"):
            return
        sent = dict(scope["headers"]).get(b"authorization", b"")
        if not hmac.compare_digest(sent, self._token):
            raise RequestError(
                401, "a bearer token is needed", {"WWW-Authenticate": 'Bearer realm="tf_mvae"'}
            )

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope.get("state", {}).get("route", "other")
        self._metrics.requests.labels(route, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        # Refusals under overload are counted; a line each would be a load of its own.
        if self._access_log or status >= 500 and status != 503:
            client = scope.get("client")
            _LOG.log(
                logging.INFO if status < 500 else logging.WARNING,
                "request",
                extra={
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": status,
                    "milliseconds": round(1000 * seconds, 3),
                    "client": client[0] if client else None,
                },
            )


async def send_error(error: RequestError, send: Send) -> None:
    """Sends `{"error": message}` with its status."""
    headers = {"Content-Type": "application/json", **error.headers}
    body = orjson.dumps({"error": error.message.encode("utf-8", "replace").decode()})
    headers["Content-Length"] = str(len(body))
    encoded = [(key.lower().encode(), value.encode()) for key, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


async def read_body(scope: Scope, receive: Receive, settings: Settings) -> bytes:
    """Returns a request's body, unpacked if it is in gzip.

    Raises:
        RequestError: It is too long, too slow, or packed in another way.
    """
    headers = dict(scope["headers"])
    length = headers.get(b"content-length", b"0")
    if int(length) > settings.max_body_bytes:
        raise _too_long(settings)
    parts, size, more = [], 0, True
    try:
        async with asyncio.timeout(settings.read_seconds):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise RequestError(400, "the client left")
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > settings.max_body_bytes:
                    raise _too_long(settings)
                more = message.get("more_body", False)
    except TimeoutError:
        raise RequestError(
            408,
            f"the body did not arrive within {settings.read_seconds:g} seconds",
            {"Connection": "close"},
        ) from None
    body = b"".join(parts)
    encoding = headers.get(b"content-encoding", b"identity").lower()
    if encoding in (b"identity", b""):
        return body
    if encoding != b"gzip":
        raise RequestError(415, "Content-Encoding must be gzip or none")
    unpacker = zlib.decompressobj(wbits=31)
    try:
        unpacked = unpacker.decompress(body, settings.max_body_bytes + 1)
    except zlib.error as error:
        raise RequestError(400, f"the body is not gzip: {error}") from error
    if len(unpacked) > settings.max_body_bytes:
        raise _too_long(settings)
    if not unpacker.eof:
        raise RequestError(400, "the body is not gzip: it ends early")
    return unpacked


def _too_long(settings: Settings) -> RequestError:
    return RequestError(
        413,
        f"the body is longer than {settings.max_body_bytes} bytes",
        {"Connection": "close"},
    )
