"""Closes connections without losing the response that the client is still to read."""

import asyncio
from collections.abc import Callable

__all__ = ["LingeringTransport"]


class LingeringTransport:
    """A transport whose `close` waits for a client that is still sending.

    If a socket is closed while received bytes are unread, the kernel resets the connection, and the
    client may lose the response (RFC 9112, section 9.6). This transport first closes only its
    sending side. Bytes that still arrive are discarded until the client closes the connection, or
    the time limit is reached.
    """

    def __init__(self, transport: asyncio.Transport, unread: Callable[[], bool], seconds: float):
        """Wraps a transport.

        Args:
            transport: The connection's transport.
            unread: Returns whether the client has sent only a part of a request.
            seconds: The time to wait for the client before the connection is aborted.
        """
        self._transport = transport
        self._unread = unread
        self._seconds = seconds
        self._lingering = False

    def __getattr__(self, name: str):
        """Returns all other attributes of the wrapped transport."""
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Returns whether the transport is closed or closing."""
        return self._lingering or self._transport.is_closing()

    def close(self) -> None:
        """Closes now, or when the client has stopped sending."""
        if self.is_closing():
            return
        if not self._unread() or not self._transport.can_write_eof():
            self._transport.close()
            return
        self._lingering = True
        self._transport.resume_reading()
        self._transport.write_eof()
        asyncio.get_running_loop().call_later(self._seconds, self._transport.abort)
