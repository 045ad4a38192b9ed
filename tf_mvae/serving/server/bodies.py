"""Request bodies: receives them within limits, and decompresses them."""

import asyncio
import zlib

from starlette.types import Receive, Scope

from tf_mvae.serving.server.budget import Reservation
from tf_mvae.serving.server.errors import RequestError, overloaded
from tf_mvae.serving.server.settings import Settings

__all__ = ["read_body"]


async def read_body(
    scope: Scope, receive: Receive, settings: Settings, reservation: Reservation
) -> bytes:
    """Receives the body of a request, and decompresses gzip; `Guard` limits the time.

    Args:
        scope: The ASGI scope of the request.
        receive: The ASGI function that returns parts of the body.
        settings: The server's limits.
        reservation: Reserves the bytes of the body; the caller releases it.

    Raises:
        RequestError: The body is too long, has another encoding, or all bodies together exceed
            `max_bodies_bytes`.
    """
    headers = dict(scope["headers"])
    if int(headers.get(b"content-length", b"0")) > settings.max_body_bytes:
        raise _too_long(settings)
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RequestError(400, "the client left")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > settings.max_body_bytes:
            raise _too_long(settings)
        if not reservation.resize(size):
            raise overloaded("the bodies of other requests fill --max_bodies_bytes")
        more = message.get("more_body", False)
    body = b"".join(parts)
    encoding = headers.get(b"content-encoding", b"identity").lower()
    if encoding in (b"identity", b""):
        return body
    if encoding != b"gzip":
        raise RequestError(415, "Content-Encoding must be gzip or none")
    unpacked = await asyncio.to_thread(_unpack, body, settings)
    if not reservation.resize(len(unpacked)):
        raise overloaded("the bodies of other requests fill --max_bodies_bytes")
    return unpacked


_MOST_MEMBERS = 100  # what is left of the body is copied for each


def _unpack(body: bytes, settings: Settings) -> bytes:
    unpacked = b""
    members = 0
    while body:  # it may have several members, one behind the other (RFC 1952)
        members += 1
        if members > _MOST_MEMBERS:
            raise RequestError(400, f"the body has more than {_MOST_MEMBERS} gzip members")
        unpacker = zlib.decompressobj(wbits=31)
        try:
            unpacked += unpacker.decompress(body, settings.max_body_bytes + 1 - len(unpacked))
        except zlib.error as error:
            raise RequestError(400, f"the body is not gzip: {error}") from error
        if len(unpacked) > settings.max_body_bytes:
            raise _too_long(settings)
        if not unpacker.eof:
            raise RequestError(400, "the body is not gzip: it ends early")
        body = unpacker.unused_data
    return unpacked


def _too_long(settings: Settings) -> RequestError:
    return RequestError(413, f"the body is longer than {settings.max_body_bytes} bytes")
