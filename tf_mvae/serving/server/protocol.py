"""Connections: uvicorn's HTTP protocol, with bounds on what a client may hold open.

uvicorn limits how long a connection is idle between requests, but not how long a client
takes to send its headers, how many bytes of them there are, or how long it takes to read
the answer. A client that is slow on purpose would hold a connection for ever.
"""

import asyncio
import json

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from tf_mvae.serving.server.metrics import Metrics
from tf_mvae.serving.server.settings import Settings

__all__ = ["make_protocol"]

_MAX_HEADER_BYTES = 64 << 10


def make_protocol(settings: Settings, metrics: Metrics) -> type[HttpToolsProtocol]:
    """Returns the protocol class for uvicorn's `http` setting.

    Args:
        settings: Limits.
        metrics: Where refusals are counted.
    """

    class GuardedProtocol(HttpToolsProtocol):
        """Ends connections that are too many, too slow, or whose headers are too long."""

        _timer: asyncio.TimerHandle | None = None
        _in_headers = True
        _header_bytes = 0

        def connection_made(self, transport: asyncio.Transport) -> None:
            """Starts the clock for the first request's headers."""
            super().connection_made(transport)
            if len(self.connections) > settings.max_connections:
                self._refuse(503, "too many connections", "connections")
            else:
                self._expect_headers()

        def connection_lost(self, exc: Exception | None) -> None:
            """Stops the clock."""
            self._stop_clock()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            """Counts the bytes of headers."""
            if self.transport.is_closing():
                return
            if self._in_headers:
                self._header_bytes += len(data)
            super().data_received(data)
            if self._in_headers and self._header_bytes > _MAX_HEADER_BYTES:
                self._refuse(431, f"headers are longer than {_MAX_HEADER_BYTES} bytes", "headers")

        def on_message_begin(self) -> None:
            """Starts the clock for a further request on a connection."""
            if self._timer is None:
                self._expect_headers()
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            """Stops the clock; the body has one of its own."""
            self._stop_clock()
            self._in_headers = False
            super().on_headers_complete()

        def on_response_complete(self) -> None:
            """Waits for a slow client to read the answer."""
            super().on_response_complete()
            if self.transport.get_write_buffer_size():
                self.loop.call_later(settings.keep_alive_seconds, self._abort_if_unread, self.cycle)

        def send_400_response(self, msg: str) -> None:
            """Answers what is not HTTP, in JSON as all errors."""
            if not self.transport.is_closing():
                self._refuse(400, msg)

        def _expect_headers(self) -> None:
            self._in_headers, self._header_bytes = True, 0
            self._timer = self.loop.call_later(
                settings.read_seconds, self._refuse, 408, "no request within the time", "slow"
            )

        def _stop_clock(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _abort_if_unread(self, cycle: object) -> None:
            unread = self.transport.is_closing() or self.transport.get_write_buffer_size()
            if unread and self.cycle is cycle:
                self.transport.abort()

        def _refuse(self, status: int, message: str, reason: str | None = None) -> None:
            self._stop_clock()
            if reason is not None:
                metrics.refused.labels(reason).inc()
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
