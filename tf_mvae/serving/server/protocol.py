"""uvicorn's HTTP protocol with further limits, so that slow clients cannot keep connections open.

uvicorn limits the idle time of a connection between requests. It limits neither the time that a
client takes to send headers, trailers or a body that no route reads, nor the bytes of headers and
trailers, the number of pipelined requests, and the time to read a response. This protocol limits
all of them.
"""

import asyncio
import json
from collections.abc import Callable

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from tf_mvae.serving.server.linger import LingeringTransport
from tf_mvae.serving.server.metrics import Metrics
from tf_mvae.serving.server.settings import Settings
from tf_mvae.serving.server.upgrades import DecliningParser

__all__ = ["make_protocol"]

_MAX_HEADER_BYTES = 64 << 10
# The largest number of requests that a client may send before the first response.
_MAX_PIPELINED = 32


def make_protocol(settings: Settings, metrics: Metrics) -> type[HttpToolsProtocol]:
    """Returns the protocol class for uvicorn's `http` setting.

    Args:
        settings: The server's limits.
        metrics: The metrics to count rejections in.
    """
    return type(
        "GuardedProtocol", (_GuardedProtocol,), {"_settings": settings, "_metrics": metrics}
    )


class _GuardedProtocol(HttpToolsProtocol):
    """Ends connections that exceed a limit of number, time or header size."""

    _settings: Settings
    _metrics: Metrics

    _in_headers = True
    _in_request = False  # whether a request has begun and is not complete
    _other_bytes = 0  # bytes of headers, trailers and chunk sizes since the last byte of a body
    _progressed = False  # whether a part of a body, or the end of a request, has arrived

    def __init__(self, *args, **kwargs):
        """Makes the timers; uvicorn creates one object per connection."""
        super().__init__(*args, **kwargs)
        self.parser = DecliningParser(self)
        limits = self._settings
        self._headers_clock = _Clock(limits.read_seconds, self._refuse_slow_headers)
        self._reading_clock = _Clock(limits.keep_alive_seconds, self._abort_if_unread)

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Starts the timer of the first request's headers."""
        seconds = self._settings.read_seconds
        super().connection_made(LingeringTransport(transport, lambda: self._in_request, seconds))
        if len(self.connections) > self._settings.max_connections:
            self._refuse(503, "too many connections", "connections")
        else:
            self._headers_clock.start(self.loop)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the timers."""
        self._headers_clock.stop()
        self._reading_clock.stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Counts the bytes that do not belong to a body."""
        if self.transport.is_closing():
            return  # discard bytes until the connection ends
        self._progressed = False
        super().data_received(data)
        self._other_bytes = 0 if self._progressed else self._other_bytes + len(data)
        if self._in_request and self._other_bytes > _MAX_HEADER_BYTES:
            kind = "headers" if self._in_headers else "trailers or chunk extensions"
            self._refuse(431, f"{kind} are longer than {_MAX_HEADER_BYTES} bytes", "headers")
        elif len(self.pipeline) > _MAX_PIPELINED:
            self._metrics.refused.labels("pipelined").inc()
            self.transport.abort()

    def on_message_begin(self) -> None:
        """Starts the timer of a further request on a connection."""
        self._headers_clock.start(self.loop)  # for the first request it is running already
        self._in_headers = self._in_request = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Stores headers; ignores trailers, which no route uses."""
        if self._in_headers:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stops the timer; the body has its own time limit (`Guard`)."""
        if self.parser.is_offer:
            return  # the request is parsed again
        self._headers_clock.stop()
        self._in_headers = False
        super().on_headers_complete()
        cycle = self.cycle
        self.scope["state"]["is_body_open"] = lambda: cycle.more_body

    def on_body(self, body: bytes) -> None:
        """Records that a part of the body has arrived."""
        self._progressed = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Records that the request is complete."""
        if self.parser.is_offer:
            return
        self._in_request, self._progressed = False, True
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Starts the timer of reading the response, when the write buffer is full."""
        super().pause_writing()
        self._reading_clock.start(self.loop)

    def on_response_complete(self) -> None:
        """Starts the timer again if the client has not read the complete response."""
        self._reading_clock.stop()
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self._reading_clock.start(self.loop)

    def send_400_response(self, msg: str) -> None:
        """Responds to invalid HTTP, with an error in JSON."""
        if not self.transport.is_closing():
            self._refuse(400, msg)

    def _refuse_slow_headers(self) -> None:
        self._refuse(408, "no request within the time", "slow")

    def _abort_if_unread(self) -> None:
        if self.transport.is_closing() or self.transport.get_write_buffer_size():
            self._metrics.refused.labels("unread").inc()
            self.transport.abort()

    def _refuse(self, status: int, message: str, reason: str | None = None) -> None:
        self._headers_clock.stop()
        if reason is not None:
            self._metrics.refused.labels(reason).inc()
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if cycle.response_started or self.pipeline:  # a response is being sent already
                self.transport.abort()
                return
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.write(_error_response(status, message))
        self.transport.close()
        self.loop.call_later(self._settings.read_seconds, self.transport.abort)


class _Clock:
    """A timer: calls a function after some seconds, unless it is stopped before."""

    def __init__(self, seconds: float, ended: Callable[[], None]):
        self._seconds = seconds
        self._ended = ended
        self._timer: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Starts the timer; a running one continues."""
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._end)

    def stop(self) -> None:
        """Stops the timer; it may be started again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        self._timer = None
        self._ended()


def _error_response(status: int, message: str) -> bytes:
    """Returns an HTTP response `{"error": message}` that closes the connection."""
    body = json.dumps({"error": message}).encode()
    retry = b"retry-after: 1\r\n" if status == 503 else b""
    return (
        STATUS_LINE[status]
        + retry
        + b"content-type: application/json\r\nconnection: close\r\n"
        + b"content-length: %d\r\n\r\n" % len(body)
        + body
    )
