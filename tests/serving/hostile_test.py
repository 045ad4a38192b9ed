"""Wrong, huge, slow or many requests get the right status, and the server stays available."""

import concurrent.futures
import gzip
import http.client
import json
import socket
import time

import pytest

from tests.serving.server_tools import save_stranger, serving

GOOD = {"instances": [[1, 2]]}
ANSWER = (200, {"predictions": [[2, 4]]})


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    base = tmp_path_factory.mktemp("served")
    save_stranger(base / "1")
    with serving(
        base,
        read_seconds=1.0,
        max_body_bytes=1 << 20,
        max_connections=600,
        max_examples=100,
        max_decoded_rows=25_600,
    ) as client:
        yield client


@pytest.fixture(autouse=True)
def _answers_afterwards(client):
    yield
    assert client.predict(GOOD) == ANSWER


def nested(depth):
    return b'{"instances": ' + b"[" * depth + b"]" * depth + b"}"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"{", "JSON"),
        (b"\xff\xfe", "JSON"),
        (b"[1]", "object"),
        (b"null", "object"),
        (b"{}", "Missing 'inputs' or 'instances'"),
        ({"instances": [[1, 2]], "inputs": [[1, 2]]}, "only one"),
        ({"instances": []}, "instances"),
        ({"instances": {"x": [1, 2]}}, "instances"),
        ({"instances": [{"x": [1, 2]}, [1, 2]]}, "item 1"),
        ({"instances": [{"x": [1, 2]}, {"y": [1, 2]}]}, "item 1"),
        ({"instances": [[1, 2], [1]]}, "differ"),
        ({"instances": [[1, 2], 3]}, "differ"),
        ({"instances": [[1, 2, 3]]}, "[1, 3]"),
        ({"instances": [1]}, "float32 [any, 2]"),
        ({"instances": [[[1, 2]]]}, "deeper"),
        ({"instances": [["1", 2]]}, "string"),
        ({"instances": [[True, 2]]}, "true or false"),
        ({"instances": [[None, 2]]}, "null"),
        ({"instances": [[{"b64": "aGk="}, 2]]}, "object"),
        ({"instances": [[1e300, 2]]}, "too large"),
        (b'{"instances": [[1e999, 2]]}', ""),
        (b'{"instances": [[' + b"9" * 400 + b", 2]]}", ""),
        ({"inputs": {"x": [[1, 2]], "extra": 1}}, "extra"),
        ({"inputs": {}}, "x (float32 [any, 2])"),
        ({"inputs": []}, "at least one"),
        ({"inputs": None}, "null"),
        ({"instances": [[1, 2]] * 101}, "--max_examples"),
        ({"signature_name": 3, "inputs": [[1, 2]]}, "signature_name"),
        ({"signature_name": "none", "inputs": [[1, 2]]}, '"none" not found'),
        ({"signature_name": "named", "instances": [1]}, "a, b"),
        ({"signature_name": "named", "inputs": [1]}, "a, b"),
        ({"signature_name": "named", "inputs": {"a": [1]}}, "b (int64 [any])"),
        ({"signature_name": "named", "inputs": {"a": [1], "b": [1, 2]}}, "a has 1, b has 2"),
        ({"signature_name": "named", "instances": [{"a": 1, "b": 1.5}]}, "decimal"),
        ({"signature_name": "named", "instances": [{"a": 1, "b": 2**63}]}, "int64"),
        ({"signature_name": "small", "instances": [256]}, "0 to 255"),
        ({"signature_name": "small", "instances": [-1]}, "0 to 255"),
        ({"signature_name": "strings", "instances": [1]}, "whole number"),
        ({"signature_name": "strings", "instances": [{"b64": "?"}]}, "b64"),
        ({"signature_name": "strings", "inputs": {"s": [{"b65": "aGk="}]}}, "b64"),
        (b'{"signature_name": "strings", "instances": ["\\ud800"]}', ""),
        (b'{"signature_name": "strings", "instances": ["\\ud800", NaN]}', ""),
        ({"signature_name": "repeat", "instances": [{"x": 1, "times": 2}]}, "columnar"),
        ({"signature_name": "repeat", "inputs": {"x": [1], "times": -1}}, "refused"),
        ({"signature_name": "repeat", "inputs": {"x": [1], "times": [2]}}, "one int32"),
        ({"signature_name": "picky", "instances": [7]}, "refused"),
        (
            {"signature_name": "bounded", "inputs": {"level": [1, 2], "level_mask": [0, 1]}},
            "0 to 1",
        ),
        ({"signature_name": "bounded", "inputs": {"level": [1], "level_mask": [3]}}, "level_mask"),
        ({"signature_name": "drawn", "inputs": {"num_samples": 101}}, "--max_examples"),
        ({"signature_name": "drawn", "inputs": {"num_samples": 2**31 - 1}}, "--max_examples"),
        ({"signature_name": "streamed", "inputs": {"x": [1], "num_samples": 25_601}}, "samples"),
        (nested(30), "deeper"),
        (nested(1000), ""),
        (nested(100_000), "JSON"),
        (b'{"a": NaN, "instances": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "JSON"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "JSON"),
    ],
    ids=str,
)
def test_a_wrong_body_is_400_and_says_what_is_wrong(client, body, words):
    status, found = client.predict(body)
    assert status == 400, found
    assert words in found["error"]
    assert "Traceback" not in found["error"] and "/" not in found["error"].split("float32")[0]


def test_strings_beside_numbers_take_no_memory(client):
    """NumPy would make a million numbers as wide as the string: terabytes."""
    mixed = ["x" * 500_000] + [1] * 100_000
    assert client.predict({"signature_name": "logarithm", "instances": mixed})[0] == 400


def test_a_gigantic_body_is_413(client):
    connection = http.client.HTTPConnection(*client.address, timeout=30)
    connection.putrequest("POST", "/v1/models/stranger:predict")
    connection.putheader("Content-Length", str(10**12))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413 and "1048576" in json.loads(answer.read())["error"]
    connection.close()


def test_a_gigantic_body_of_unknown_length_is_413(client):
    connection = http.client.HTTPConnection(*client.address, timeout=30)
    chunks = (b" " * 65536 for _ in range(17))
    connection.request("POST", "/v1/models/stranger:predict", chunks, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_a_small_body_that_unpacks_to_a_gigantic_one_is_413(client):
    bomb = gzip.compress(b" " * (50 << 20), mtime=0)
    assert len(bomb) < 1 << 20
    assert client.predict(bomb, headers={"Content-Encoding": "gzip"})[0] == 413
    whole = b'{"inputs": [[1, 2]]}'
    for parts, status in (
        ((whole[:5], whole[5:]), 200),
        ((whole, b"rest"), 400),
        ([b" "] * 101, 400),
    ):
        body = b"".join(map(gzip.compress, parts))
        assert client.predict(body, headers={"Content-Encoding": "gzip"})[0] == status


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (b"not gzip", "gzip", 400),
        (gzip.compress(b"{}", mtime=0)[:-4], "gzip", 400),
        (b"{}", "br", 415),
    ],
)
def test_a_body_that_cannot_be_unpacked(client, body, encoding, status):
    assert client.predict(body, headers={"Content-Encoding": encoding})[0] == status


def exchange(client, *parts, pause=0.0):
    """Sends bytes and returns what comes back until the server closes."""
    with socket.create_connection(client.address, timeout=30) as raw:
        for part in parts:
            raw.sendall(part)
            time.sleep(pause)
        received = b""
        while chunk := raw.recv(65536):
            received += chunk
    return received


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", 408),  # connects and says nothing
        (b"POST /v1/models/stranger:predict HTTP/1.1\r\nHost: x\r\n", 408),  # slow headers
        (b"POST /v1/models/stranger:predict HTTP/1.1\r\nContent-Length: 99\r\n\r\n{", 408),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # speaks TLS
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\n" + b"X: " + b"y" * 100_000 + b"\r\n", 431),
        (b"POST /v1/models/stranger:predict HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
    ],
    ids=["silent", "headers", "body", "tls", "version", "long", "length"],
)
def test_a_slow_or_senseless_client_is_told_and_let_go(client, sent, status):
    received = exchange(client, sent)
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.split()[1] == str(status).encode(), received
    assert json.loads(body)["error"]


def test_dripping_headers_does_not_win_time(client):
    head = b"GET /healthz HTTP/1.1\r\n"
    with socket.create_connection(client.address, timeout=30) as raw:
        raw.sendall(head)
        received = b""
        raw.settimeout(0.1)
        for _ in range(300):
            try:
                received = raw.recv(1000)
                break
            except TimeoutError:
                raw.sendall(b"X")
    assert b" 408 " in received


def test_slow_clients_do_not_hold_up_others(client):
    held = []
    try:
        for _ in range(100):
            raw = socket.create_connection(client.address, timeout=30)
            raw.sendall(b"POST /v1/models/stranger:predict HTTP/1.1\r\n")
            held.append(raw)
        assert client.predict(GOOD) == ANSWER
    finally:
        for raw in held:
            raw.close()


def test_a_client_that_leaves_is_no_loss(client):
    for _ in range(20):
        with socket.create_connection(client.address) as raw:
            body = b'{"instances": [[1, 2]]}'
            raw.sendall(
                b"POST /v1/models/stranger:predict HTTP/1.1\r\nContent-Length: %d\r\n\r\n"
                % len(body)
                + body
            )


def test_five_hundred_connections_at_once(client):
    connections = [http.client.HTTPConnection(*client.address, timeout=60) for _ in range(500)]
    try:
        for connection in connections:
            connection.connect()
        body = json.dumps(GOOD)
        for connection in connections:
            connection.request("POST", "/v1/models/stranger:predict", body)
        found = []
        for connection in connections:
            answer = connection.getresponse()
            found.append((answer.status, json.loads(answer.read())))
    finally:
        for connection in connections:
            connection.close()
    assert {status for status, _ in found} <= {200, 503}
    answered = [body for status, body in found if status == 200]
    assert answered and all(body == ANSWER[1] for body in answered)


def test_connections_beyond_the_limit_are_refused(client, tmp_path):
    save_stranger(tmp_path / "1")
    with serving(tmp_path, max_connections=3) as small:
        held = [socket.create_connection(small.address) for _ in range(3)]
        time.sleep(0.2)
        status, headers, body = small.ask("GET", "/healthz")
        assert status == 503 and headers["retry-after"] == "1" and "connections" in body["error"]
        for raw in held:
            raw.close()
        time.sleep(0.2)
        assert small.predict(GOOD) == ANSWER


def test_many_wrong_and_right_requests_together(client):
    bodies = [GOOD, {"instances": [["a", 2]]}, {"signature_name": "picky", "instances": [9]}] * 20
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        statuses = [status for status, _ in pool.map(client.predict, bodies)]
    assert statuses == [200, 400, 400] * 20
