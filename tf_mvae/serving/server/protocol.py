"""Connections: uvicorn's HTTP protocol, with limits on what a client may hold open.

uvicorn limits how long a connection is idle between requests. It does not limit how long a
client takes to send headers, a body that no route reads, or trailers, how many bytes of headers
and trailers there are, how many requests are sent ahead, or how long a client takes to read the
answer. A client that is slow on purpose would hold a connection for ever.
"""

import asyncio
import json

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from tf_mvae.serving.server.linger import LingeringTransport
from tf_mvae.serving.server.metrics import Metrics
from tf_mvae.serving.server.settings import Settings

__all__ = ["make_protocol"]

_MAX_HEADER_BYTES = 64 << 10
# Requests that a client sends before the first one is answered.
_MAX_PIPELINED = 32


def make_protocol(settings: Settings, metrics: Metrics) -> type[HttpToolsProtocol]:
    """Returns the protocol class for uvicorn's `http` setting.

    Args:
        settings: Limits.
        metrics: Where refusals are counted.
    """

    class GuardedProtocol(HttpToolsProtocol):
        """Ends connections that are too many, too slow, or whose headers are too long."""

        _timer: asyncio.TimerHandle | None = None  # for the headers
        _reader: asyncio.TimerHandle | None = None  # for the client to read an answer
        _in_headers = True
        _in_request = False  # a request has begun and is not complete
        _other_bytes = 0  # of headers, trailers and chunk sizes, since the last byte of a body
        _progressed = False  # a part of a body, or the end of a request, has come

        def connection_made(self, transport: asyncio.Transport) -> None:
            """Starts the clock for the first request's headers."""
            super().connection_made(
                LingeringTransport(transport, lambda: self._in_request, settings.read_seconds)
            )
            if len(self.connections) > settings.max_connections:
                self._refuse(503, "too many connections", "connections")
            else:
                self._expect_headers()

        def connection_lost(self, exc: Exception | None) -> None:
            """Stops the clocks."""
            self._stop_clock()
            self._stop_reader()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            """Counts the bytes that belong to no body."""
            if self.transport.is_closing():
                return  # discarded, until the client or the time ends the connection
            self._progressed = False
            super().data_received(data)
            self._other_bytes = 0 if self._progressed else self._other_bytes + len(data)
            if self._in_request and self._other_bytes > _MAX_HEADER_BYTES:
                kind = "headers" if self._in_headers else "trailers or chunk extensions"
                self._refuse(431, f"{kind} are longer than {_MAX_HEADER_BYTES} bytes", "headers")
            elif len(self.pipeline) > _MAX_PIPELINED:
                metrics.refused.labels("pipelined").inc()
                self.transport.abort()

        def on_message_begin(self) -> None:
            """Starts the clock for a further request on a connection."""
            if self._timer is None:
                self._expect_headers()
            self._in_request = True
            super().on_message_begin()

        def on_header(self, name: bytes, value: bytes) -> None:
            """Keeps headers; drops trailers, which nothing reads."""
            if self._in_headers:
                super().on_header(name, value)

        def on_headers_complete(self) -> None:
            """Stops the clock; the body has one of its own."""
            self._stop_clock()
            self._in_headers = False
            super().on_headers_complete()
            cycle = self.cycle
            self.scope["state"]["is_body_open"] = lambda: cycle.more_body

        def on_body(self, body: bytes) -> None:
            """Notes that the body goes on."""
            self._progressed = True
            super().on_body(body)

        def on_message_complete(self) -> None:
            """Notes that the request was received."""
            self._in_request, self._progressed = False, True
            super().on_message_complete()

        def pause_writing(self) -> None:
            """Gives the client a time to read the answer."""
            super().pause_writing()
            self._expect_reading()

        def on_response_complete(self) -> None:
            """Waits for a slow client to read the answer."""
            self._stop_reader()
            super().on_response_complete()
            if self.transport.get_write_buffer_size():
                self._expect_reading()

        def send_400_response(self, msg: str) -> None:
            """Answers what is not HTTP, in JSON as all errors."""
            if not self.transport.is_closing():
                self._refuse(400, msg)

        def _expect_headers(self) -> None:
            self._in_headers = True
            self._timer = self.loop.call_later(
                settings.read_seconds, self._refuse, 408, "no request within the time", "slow"
            )

        def _stop_clock(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _expect_reading(self) -> None:
            if self._reader is None:
                self._reader = self.loop.call_later(
                    settings.keep_alive_seconds, self._abort_if_unread
                )

        def _stop_reader(self) -> None:
            if self._reader is not None:
                self._reader.cancel()
                self._reader = None

        def _abort_if_unread(self) -> None:
            self._reader = None
            if self.transport.is_closing() or self.transport.get_write_buffer_size():
                metrics.refused.labels("unread").inc()
                self.transport.abort()

        def _refuse(self, status: int, message: str, reason: str | None = None) -> None:
            self._stop_clock()
            if reason is not None:
                metrics.refused.labels(reason).inc()
            cycle = self.cycle
            if cycle is not None and not cycle.response_complete:
                if cycle.response_started or self.pipeline:  # an answer is on its way already
                    self.transport.abort()
                    return
                cycle.disconnected = True
                cycle.message_event.set()
            body = json.dumps({"error": message}).encode()
            retry = b"retry-after: 1\r\n" if status == 503 else b""
            self.transport.write(
                STATUS_LINE[status]
                + retry
                + b"content-type: application/json\r\nconnection: close\r\n"
                + b"content-length: %d\r\n\r\n" % len(body)
                + body
            )
            self.transport.close()
            self.loop.call_later(settings.read_seconds, self.transport.abort)

    return GuardedProtocol
