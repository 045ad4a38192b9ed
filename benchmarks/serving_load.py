"""The sender of `serving.py`'s overload: requests at a rate, whatever becomes of them.

`python benchmarks/serving_load.py PORT NAME BODIES ANSWERS RATE SECONDS`. A request goes out
at its time on a connection that is free, or on a new one, up to as many as the server takes;
answers are compared with the model's. Prints JSON.
"""

import asyncio
import collections
import json
import pathlib
import sys
import time

import httptools
import numpy as np
import orjson

MOST_CONNECTIONS = 900
CHECK_EVERY = 10
TOLERANCE = 1e-5


class Sender(asyncio.Protocol):
    """A connection with at most one request under way."""

    def __init__(self, load: "Load"):
        self.load = load
        self.index = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Takes part."""
        self.transport = transport
        self.parser = httptools.HttpResponseParser(self)

    def send(self, index: int) -> None:
        """Sends a request."""
        self.index, self.began, self.body = index, time.monotonic(), []
        self.transport.write(self.load.requests[index])

    def data_received(self, data: bytes) -> None:
        """Reads an answer."""
        self.parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        """Gathers it."""
        self.body.append(data)

    def on_message_complete(self) -> None:
        """Counts it, and is free."""
        index, self.index = self.index, None
        self.load.answered(index, self.parser.get_status_code(), self.began, self.body)
        self.parser = httptools.HttpResponseParser(self)
        self.load.free.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Counts what was under way as broken."""
        self.load.open -= 1
        if self.index is not None:
            self.load.broken += 1
        elif self in self.load.free:
            self.load.free.remove(self)


class Load:
    """What is sent and what comes back."""

    def __init__(self, port: int, name: str, bodies: str, answers: str):
        self.port = port
        self.requests = []
        for line in pathlib.Path(bodies).read_text().splitlines():
            head = f"POST /v1/models/{name}:predict HTTP/1.1\r\nHost: localhost\r\n"
            self.requests.append(f"{head}Content-Length: {len(line)}\r\n\r\n{line}".encode())
        self.answers = dict(np.load(answers))
        self.free: collections.deque[Sender] = collections.deque()
        self.statuses: collections.Counter[str] = collections.Counter()
        self.times: list[float] = []
        self.open = self.broken = self.unsent = self.checked = self.wrong = 0

    def answered(self, index: int, status: int, began: float, body: list[bytes]) -> None:
        """Counts an answer, and compares one in a few."""
        self.statuses[str(status)] += 1
        if status != 200:
            return
        self.times.append(time.monotonic() - began)
        if len(self.times) % CHECK_EVERY == 0:
            found = orjson.loads(b"".join(body))["predictions"][0]
            self.checked += 1
            self.wrong += not all(
                np.allclose(found[name], value[index], atol=TOLERANCE, rtol=TOLERANCE)
                for name, value in self.answers.items()
            )

    async def run(self, rate: float, seconds: float) -> dict:
        """Sends for a time; returns what became of it."""
        loop = asyncio.get_running_loop()
        began, sent = time.monotonic(), 0
        while (now := time.monotonic() - began) < seconds:
            while sent < now * rate:
                sent += 1
                if self.free:
                    self.free.popleft().send(sent % len(self.requests))
                elif self.open < MOST_CONNECTIONS:
                    self.open += 1
                    loop.create_task(self.open_and_send(sent % len(self.requests)))
                else:
                    self.unsent += 1
            await asyncio.sleep(0.001)
        end = time.monotonic() + 30
        while self.open > len(self.free) and time.monotonic() < end:
            await asyncio.sleep(0.05)
        times = sorted(self.times) or [float("nan")]
        return {
            "seconds": seconds,
            "offered_per_second": round(sent / seconds, 1),
            "answered_per_second": round(self.statuses["200"] / seconds, 1),
            "statuses": dict(self.statuses),
            "unsent_for_want_of_connections": self.unsent,
            "broken": self.broken,
            "p50_milliseconds": round(1000 * times[len(times) // 2], 1),
            "p99_milliseconds": round(1000 * times[int(len(times) * 0.99)], 1),
            "checked_answers": self.checked,
            "wrong_answers": self.wrong,
        }

    async def open_and_send(self, index: int) -> None:
        """Sends on a new connection."""
        loop = asyncio.get_running_loop()
        try:
            _, sender = await loop.create_connection(lambda: Sender(self), "127.0.0.1", self.port)
        except OSError:
            self.open -= 1
            self.broken += 1
            return
        sender.send(index)


def main() -> None:
    """Sends, and prints what became of it."""
    port, name, bodies, answers, rate, seconds = sys.argv[1:]
    load = Load(int(port), name, bodies, answers)
    print(json.dumps(asyncio.run(load.run(float(rate), float(seconds)))))


if __name__ == "__main__":
    main()
