"""ASGI responses."""

import asyncio
import collections

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tf_mvae.serving.server.budget import Reservation

__all__ = ["AnswerResponse", "error_response", "json_response"]

# After this number of blocks the event loop runs other tasks.
_BLOCKS_AT_ONCE = 8


class AnswerResponse(Response):
    """A response that sends its body in blocks, and frees each block after sending it."""

    media_type = "application/json"

    def __init__(self, blocks: list[bytes], reservation: Reservation):
        """Makes a response.

        Args:
            blocks: The blocks of the body.
            reservation: The memory that the body has reserved; released after sending.
        """
        self._blocks = collections.deque(blocks)
        self._reservation = reservation
        super().__init__(headers={"Content-Length": str(sum(map(len, blocks)))})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the response."""
        try:
            start = {"status": self.status_code, "headers": self.raw_headers}
            await send({"type": "http.response.start", **start})
            sent = 0
            while self._blocks:
                block = self._blocks.popleft()
                message = {"body": block, "more_body": bool(self._blocks)}
                await send({"type": "http.response.body", **message})
                sent += 1
                if sent % _BLOCKS_AT_ONCE == 0:
                    await asyncio.sleep(0)
        finally:
            self._reservation.release()


def json_response(value: object, status: int = 200, indent: bool = False) -> Response:
    """Returns a response with a value as JSON."""
    body = orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else None)
    return Response(body, status_code=status, media_type="application/json")


def error_response(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """Returns a response `{"error": message}`."""
    body = orjson.dumps({"error": message.encode("utf-8", "replace").decode()})
    return Response(body, status_code=status, media_type="application/json", headers=headers)
