"""Requests that offer another protocol (`Upgrade`) are answered in HTTP/1.1."""

import http.client
import json
import socket

import httptools
import pytest

from tests.serving.server_tools import save_stranger, serving
from tf_mvae.serving.server.upgrades import DecliningParser

PREDICT = "/v1/models/stranger:predict"
BODY = b'{"instances": [[1, 2]]}'
# What Java's HTTP client sends with its first request.
OFFER = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAEAAEAAAAI"}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    base = tmp_path_factory.mktemp("served")
    save_stranger(base / "1")
    with serving(base) as client:
        yield client


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_after_an_offer_is_read_and_the_connection_stays(client, chunked):
    own = http.client.HTTPConnection(*client.address, timeout=30)
    for headers in (OFFER, OFFER, {}):
        body = iter([BODY[:9], BODY[9:]]) if chunked else BODY
        own.request("POST", PREDICT, body, headers, encode_chunked=chunked)
        answer = own.getresponse()
        assert (answer.status, json.load(answer)) == (200, {"predictions": [[2, 4]]})
    own.close()


def test_a_body_that_comes_later_is_not_the_next_request(client):
    hidden = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    offer = "".join(f"{name}: {value}\r\n" for name, value in OFFER.items()).encode()
    length = b"Content-Length: %d\r\n\r\n" % len(hidden)
    with socket.create_connection(client.address, timeout=30) as raw:
        raw.sendall(f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\n".encode() + offer + length)
        raw.sendall(hidden)
        raw.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        received = b"".join(iter(lambda: raw.recv(65536), b""))
    assert b"JSON Parse error" in received and b"ready" in received and b"alive" not in received


class Recorder:
    """Takes the callbacks of a parser, as uvicorn's protocol does."""

    def __init__(self):
        self.parser = DecliningParser(self)
        self.requests = []

    def on_message_begin(self):
        self.url, self.headers, self.body = b"", [], b""

    def on_url(self, url):
        self.url += url

    def on_header(self, name, value):
        self.headers.append((name.lower(), value))

    def on_body(self, body):
        self.body += body

    def on_message_complete(self):
        if not self.parser.is_offer:
            self.requests.append((self.url, dict(self.headers), self.body))


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_several_requests_at_once_lose_nothing(step):
    one = b"POST /%d HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    one += b"Content-Length: 2\r\n\r\nab"
    sent = one % 1 + b"GET /2 HTTP/1.1\r\n\r\n" + one % 3
    found = Recorder()
    for start in range(0, len(sent), step):
        found.parser.feed_data(sent[start : start + step])
    kept = {b"connection": b"keep-alive", b"content-length": b"2"}
    assert found.requests == [(b"/1", kept, b"ab"), (b"/2", {}, b""), (b"/3", kept, b"ab")]


def test_a_tunnel_is_none_of_these():
    with pytest.raises(httptools.HttpParserUpgrade):
        Recorder().parser.feed_data(b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n")
