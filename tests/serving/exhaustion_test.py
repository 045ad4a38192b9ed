"""Clients that send or read slowly, or request too much, do not block other clients."""

import asyncio
import concurrent.futures
import contextlib
import gzip
import http.client
import json
import socket
import threading
import time

import pytest

from tests.serving.server_tools import save_stranger, serving, wait_until
from tf_mvae.serving.server.bodies import read_body
from tf_mvae.serving.server.budget import ByteBudget
from tf_mvae.serving.server.errors import RequestError
from tf_mvae.serving.server.saved_model import ServedVersion
from tf_mvae.serving.server.settings import Settings

GOOD = {"instances": [[1, 2]]}
ANSWER = (200, {"predictions": [[2, 4]]})
PREDICT = "/v1/models/stranger:predict"
CHUNKED = "Transfer-Encoding: chunked"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    base = tmp_path_factory.mktemp("served")
    save_stranger(base / "1")
    return base


@pytest.fixture(scope="module")
def client(base):
    with serving(base, read_seconds=1.0, max_body_bytes=1 << 20) as client:
        yield client


@pytest.fixture(scope="module")
def guarded(base):
    with serving(base, read_seconds=1.0, token="s3cret") as client:
        yield client


def head(method, path, *headers):
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", ""]
    return "\r\n".join(lines).encode()


def pour(client, first, piece, pause=0.0):
    """Sends a piece again and again; returns what is received until the server closes."""
    received = []
    with socket.create_connection(client.address, timeout=30) as raw:
        raw.sendall(first)

        def read():
            with contextlib.suppress(ConnectionResetError):
                while chunk := raw.recv(65536):
                    received.append(chunk)

        reader = threading.Thread(target=read)
        reader.start()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while True:  # the server ends it
                raw.sendall(piece)
                time.sleep(pause)
        reader.join()
    return b"".join(received)


def status_of(received):
    return int(received.split()[1])


@pytest.mark.parametrize("piece", [b"x: y\r\n" * 1000, b"x" * 10_000], ids=["lines", "line"])
@pytest.mark.parametrize(
    ("path", "begin", "status"),
    [
        (PREDICT, b"0\r\n", 431),
        (PREDICT, b"2\r\n{}\r\n0\r\n", 431),
        ("/healthz", b"0\r\n", 405),
        ("/nothing", b"0\r\n", 404),
    ],
)
def test_trailers_without_end_are_refused(client, path, begin, status, piece):
    received = pour(
        client, head("POST", path, CHUNKED) + begin + b"x" * (piece[0] != piece[1]), piece
    )
    # The trailers may be too long before the route has answered.
    assert status_of(received) in (status, 431), received[:300]
    assert b"connection: close" in received
    assert client.predict(GOOD) == ANSWER


def test_a_chunk_extension_without_end_is_refused(client):
    received = pour(client, head("POST", PREDICT, CHUNKED) + b"1;", b"x" * 10_000)
    assert status_of(received) == 431


def test_trailers_do_not_become_headers(guarded):
    """A token in a trailer is not accepted."""
    body = b"2\r\n{}\r\n0\r\nAuthorization: Bearer s3cret\r\n\r\n"
    with socket.create_connection(guarded.address, timeout=30) as raw:
        raw.sendall(head("POST", PREDICT, CHUNKED, "Connection: close") + body)
        received = b"".join(iter(lambda: raw.recv(65536), b""))
    assert status_of(received) == 401


LONG = "Content-Length: 1000000"


def test_a_slow_body_ends_the_connection_on_every_route(client, guarded):
    cases = [
        (client, "GET", "/healthz", LONG, 200),
        (client, "GET", "/healthz", "Content-Length: 100", 200),
        (client, "GET", "/metrics", LONG, 200),
        (client, "GET", "/", LONG, 200),
        (client, "GET", "/v1/models/stranger", CHUNKED, 200),
        (client, "POST", "/healthz", LONG, 405),
        (client, "POST", "/nothing", LONG, 404),
        (client, "POST", "/v1/nothing", LONG, 400),
        (client, "POST", "/v1/models/other:predict", LONG, 404),
        (client, "POST", PREDICT, LONG, 408),
        (client, "POST", PREDICT, CHUNKED, 408),
        (client, "POST", "/v1/models/stranger:classify", LONG, 408),
        (client, "POST", PREDICT, "Content-Length: 1000000000", 413),
        (guarded, "POST", PREDICT, LONG, 401),
        (guarded, "GET", "/metrics", LONG, 401),
        (guarded, "GET", "/readyz", LONG, 200),
    ]

    def drip(case):
        server, method, path, length, _ = case
        piece = b"1\r\n \r\n" if length == CHUNKED else b" "
        return pour(server, head(method, path, length), piece, pause=0.05)

    with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool:
        found = [(*case[1:4], status_of(received)) for case, received in
                 zip(cases, pool.map(drip, cases), strict=True)]  # fmt: skip
    assert found == [case[1:] for case in cases]
    assert client.predict(GOOD) == ANSWER


@pytest.mark.parametrize("path", ["/nothing", "/v1/models/other:predict", "/healthz"])
def test_an_early_answer_keeps_the_connection_if_the_body_arrives(client, path):
    connection = http.client.HTTPConnection(*client.address, timeout=30)
    try:
        for _ in range(3):
            status, headers, _ = client.ask("POST", path, GOOD, connection=connection)
            assert status in (404, 405) and "connection" not in headers
        assert client.predict(GOOD, connection=connection) == ANSWER
    finally:
        connection.close()


def test_an_early_answer_reaches_a_client_that_sends_on(client):
    """The connection is not reset before the client has read the response."""
    connection = http.client.HTTPConnection(*client.address, timeout=30)
    connection.request("POST", PREDICT, b" " * (8 << 20))
    answer = connection.getresponse()
    assert answer.status == 413 and answer.headers["connection"] == "close"
    connection.close()


def test_requests_sent_ahead_are_bounded(client):
    with socket.create_connection(client.address, timeout=30) as raw:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            for _ in range(100):
                raw.sendall(head("GET", "/healthz") * 1000)
            while raw.recv(65536):
                pass
    assert client.predict(GOOD) == ANSWER


def test_bodies_of_all_requests_are_bounded():
    settings = Settings(".", "x", max_bodies_bytes=1000)
    budget = ByteBudget(settings.max_bodies_bytes)

    async def read(*parts, held, encoding=b"identity"):
        messages = [
            {"type": "http.request", "body": part, "more_body": i + 1 < len(parts)}
            for i, part in enumerate(parts)
        ]

        async def receive():
            return messages.pop(0)

        scope = {"headers": [(b"content-encoding", encoding)]}
        return await read_body(scope, receive, settings, held)

    async def check():
        with budget.reserve() as first:
            assert len(await read(b"x" * 300, b"x" * 300, held=first)) == 600
            assert budget.held == 600
            for body, encoding in ((b"x" * 401, b"identity"), (gzip.compress(b"x" * 401), b"gzip")):
                with pytest.raises(RequestError, match="--max_bodies_bytes") as refused:
                    with budget.reserve() as second:
                        await read(body, held=second, encoding=encoding)
                assert refused.value.status == 503 and budget.held == 600
            with budget.reserve() as second:
                await read(b"x" * 400, held=second)
                assert budget.held == 1000
        assert budget.held == 0

    asyncio.run(check())


def test_answers_that_are_not_read_are_bounded(base):
    most = 4_000_000
    settings = {"max_examples": most, "max_decoded_rows": most, "drain_seconds": 0.1}
    with serving(base, max_answers_bytes=100_000_000, **settings) as client:
        ask = {"signature_name": "drawn", "inputs": {"num_samples": most}}
        held, statuses = [], []
        for _ in range(5):  # answers of 16 MB, for which 68 are reserved before they are there
            raw = socket.socket()
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.connect(client.address)
            body = json.dumps(ask).encode()
            raw.sendall(head("POST", PREDICT, f"Content-Length: {len(body)}") + body)
            statuses.append(status_of(raw.recv(200)))
            held.append(raw)
        assert statuses == [200] * 2 + [503] * 3
        status, found = client.predict(ask)
        assert status == 503 and "--max_answers_bytes" in found["error"]
        assert client.predict(GOOD) == ANSWER  # short answers go on
        for raw in held:
            raw.close()
        wait_until(lambda: client.predict(ask)[0] != 503)


def test_a_client_that_does_not_read_is_let_go(base):
    settings = {"max_examples": 4_000_000, "max_decoded_rows": 4_000_000}
    with serving(base, keep_alive_seconds=0.5, **settings) as client, socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(client.address)
        body = json.dumps({"signature_name": "drawn", "inputs": {"num_samples": 4_000_000}})
        raw.sendall(head("POST", PREDICT, f"Content-Length: {len(body)}") + body.encode())
        wait_until(lambda: client.metrics.refused.labels("unread")._value.get() == 1)
        assert client.predict(GOOD) == ANSWER


def test_an_answer_that_would_be_too_long_is_refused(base):
    with serving(base, max_answers_bytes=70_000) as client:
        ask = {"signature_name": "drawn", "inputs": {"num_samples": 4096}}
        assert client.predict(ask)[0] == 200
        ask["inputs"]["num_samples"] = 4000 * 2
        status, found = client.predict(ask)
        assert status == 400
        # The length of this one is known only when it is there.
        status, found = client.predict({"signature_name": "free", "inputs": [[0.1] * 40_000]})
        assert status == 503 and "--max_answers_bytes" in found["error"]


def test_a_short_request_for_many_samples_is_400(client):
    for samples, status in ((65_536, 200), (65_537, 400), (1_000_000, 400)):
        ask = {"signature_name": "streamed", "inputs": {"x": [1], "num_samples": samples}}
        found = client.predict(ask)
        assert found[0] == status, found
    assert "--max_decoded_rows=65536" in found[1]["error"]


class Held:
    """Blocks the calls of one signature."""

    def __init__(self, name):
        self.name = name
        self.open = threading.Event()
        self.begun = []
        self._run = ServedVersion.run

    def __call__(self, version, name, inputs):
        if name == self.name:
            self.begun.append(len(next(iter(inputs.values()))))
            assert self.open.wait(60)
        return self._run(version, name, inputs)


def test_long_requests_leave_a_thread_to_others(base, monkeypatch):
    held = Held("centred")
    with serving(base, num_threads=2, max_queue=16) as client:
        monkeypatch.setattr(ServedVersion, "run", lambda *args: held(*args))
        long = {"signature_name": "centred", "inputs": [1.0] * 300}
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            # Three at once could wait together, before a thread takes the first: one too many.
            asked = [pool.submit(client.predict, long)]
            wait_until(lambda: held.begun)
            asked += [pool.submit(client.predict, long) for _ in range(2)]
            wait_until(lambda: client.metrics.queued._value.get() == 2)
            assert client.predict(GOOD) == ANSWER
            assert held.begun == [300]
            status, found = client.predict(long)  # an eighth of the queue is for long ones
            assert status == 503 and "2 long requests wait" in found["error"]
            held.open.set()
            assert [f.result()[0] for f in asked] == [200] * 3


def test_others_come_between_the_parts_of_a_request(base, monkeypatch):
    held = Held("serving_default")
    with serving(base, num_threads=1, max_batch_size=16, batch_any_model=True) as client:
        monkeypatch.setattr(ServedVersion, "run", lambda *args: held(*args))
        rows = [[i, -i] for i in range(100)]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            asked = pool.submit(client.predict, {"instances": rows})
            wait_until(lambda: held.begun)
            other = pool.submit(client.predict, {"signature_name": "free", "inputs": [[1]]})
            wait_until(lambda: client.metrics.queued._value.get() == 1)
            ran = []
            run = held._run
            held._run = lambda *args: (ran.append(args[1]), run(*args))[-1]
            held.open.set()
            assert asked.result() == (200, {"predictions": [[2 * i, -2 * i] for i in range(100)]})
            assert other.result() == (200, {"outputs": [[2]]})
    assert held.begun == [16] * 6 + [4]
    assert ran.index("free") <= 1


def test_a_request_in_parts_is_answered_as_a_whole(base, client):
    logarithms = {"signature_name": "logarithm", "inputs": [1.0] * 20 + [0.0] * 5}
    asked = [
        {"instances": [[i, i + 0.1] for i in range(25)]},
        {"signature_name": "named", "instances": [{"a": i, "b": i} for i in range(25)]},
        {"signature_name": "named", "inputs": {"a": [0.5] * 25, "b": list(range(25))}},
        {"signature_name": "strings", "inputs": [f"{i}" for i in range(25)]},
        logarithms,
    ]
    with serving(base, max_batch_size=4, batch_any_model=True) as divided:
        in_parts = [divided.predict(body) for body in asked]
    assert in_parts == [client.predict(body) for body in asked]
    assert in_parts[-1] == (200, {"outputs": [0.0] * 20 + [float("-inf")] * 5})
