"""ASGI middleware: checks host and token, limits the time of bodies, logs and counts requests."""

import asyncio
import logging
import time

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tf_mvae.serving.server.errors import RequestError
from tf_mvae.serving.server.hosts import HostCheck
from tf_mvae.serving.server.metrics import Metrics
from tf_mvae.serving.server.settings import Settings
from tf_mvae.serving.server.tokens import TokenCheck

__all__ = ["Guard"]

_LOG = logging.getLogger(__name__)
_OPEN = {"/", "/healthz", "/readyz"}  # without a token: probes, and the page that asks for it

# If a response is sent before the request's body has arrived, the connection must be closed. A
# short body usually arrives soon, so it is received first, and the connection stays open.
_SHORT_BODY = 64 << 10
_SHORT_WAIT = 0.25


class Guard:
    """ASGI middleware: host, token, time limit of bodies, metrics, logs, errors as JSON."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics):
        """Wraps an application.

        Args:
            app: The application.
            settings: The server's settings.
            metrics: The metrics to count in.
        """
        self._app = app
        self._metrics = metrics
        self._access_log = settings.access_log
        self._read_seconds = settings.read_seconds
        self._check_token = TokenCheck(settings.token)
        self._check_host = HostCheck(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        status = 0
        is_body_open = scope["state"].get("is_body_open", lambda: False)
        deadline = asyncio.get_running_loop().time() + self._read_seconds

        async def receive_in_time() -> Message:
            if not is_body_open():
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    return await receive()
            except TimeoutError:
                self._metrics.refused.labels("slow").inc()
                raise RequestError(
                    408, f"the body did not arrive within {self._read_seconds:g} seconds"
                ) from None

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if is_body_open():
                    await _skip_short_body(scope, receive, is_body_open)
                if is_body_open():
                    message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        self._metrics.running.inc()
        try:
            self._check_host(scope)
            self._authorise(scope)
            await self._app(scope, receive_in_time, watched)
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
        if path not in _OPEN and not path.startswith("/page/"):
            self._check_token(dict(scope["headers"]).get(b"authorization", b""))

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope.get("state", {}).get("route", "other")
        self._metrics.requests.labels(route, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        # Rejections under overload are counted but not logged, because logs would add to the load.
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


async def _skip_short_body(scope: Scope, receive: Receive, is_body_open) -> None:
    """Receives and discards the rest of a short body, if it arrives soon."""
    headers = dict(scope["headers"])
    length = int(headers.get(b"content-length", b"0"))
    # A client that sends `Expect: 100-continue` waits for the response before it sends a body.
    if not 0 < length <= _SHORT_BODY or b"expect" in headers:
        return
    try:
        async with asyncio.timeout(_SHORT_WAIT):
            while is_body_open() and (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        pass


async def send_error(error: RequestError, send: Send) -> None:
    """Sends an error as `{"error": message}` with its status.

    Args:
        error: The error.
        send: The ASGI function that sends messages.
    """
    headers = {"Content-Type": "application/json", **error.headers}
    body = orjson.dumps({"error": error.message.encode("utf-8", "replace").decode()})
    headers["Content-Length"] = str(len(body))
    encoded = [(key.lower().encode(), value.encode()) for key, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
