"""Declines offers of another protocol, such as `Upgrade: h2c` of Java's HTTP client.

A server may ignore an offer and answer in HTTP/1.1 (RFC 9110, section 7.8). httptools instead ends
a request that has an offer after its headers: the body would be missing, and its bytes would be
taken for the next request.
"""

from typing import Any

import httptools

__all__ = ["DecliningParser"]

_OFFER = (b"upgrade", b"http2-settings")


class DecliningParser:
    """httptools' parser of requests, which parses one with an offer again without it.

    The protocol must ignore the end of the headers, and of the request, while `is_offer` is true.
    """

    def __init__(self, protocol: Any):
        """Makes a parser.

        Args:
            protocol: Has httptools' callbacks; `url` and `headers` hold those of the request.
        """
        self._protocol = protocol
        self._parser = _make_parser(protocol)

    def __getattr__(self, name: str):
        """Returns all other attributes of httptools' parser."""
        return getattr(self._parser, name)

    @property
    def is_offer(self) -> bool:
        """Whether the request offers another protocol; `CONNECT` asks for a tunnel instead."""
        return self._parser.should_upgrade() and self._parser.get_method() != b"CONNECT"

    def feed_data(self, data: bytes) -> None:
        """Parses received bytes.

        Args:
            data: The bytes.

        Raises:
            httptools.HttpParserError: They are not HTTP.
        """
        while True:
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as offer:
                if not self.is_offer:
                    raise
                data = self._head() + data[offer.args[0] :]
                self._parser = _make_parser(self._protocol)

    def _head(self) -> bytes:
        """Returns the request's first line and headers without the offer."""
        version = self._parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (self._parser.get_method(), self._protocol.url, version)]
        for name, value in self._protocol.headers:
            if name == b"connection":
                options = [option.strip() for option in value.split(b",")]
                value = b", ".join(o for o in options if o.lower() not in _OFFER)
            if name not in _OFFER:
                lines.append(name + b": " + value)
        return b"\r\n".join([*lines, b"", b""])


def _make_parser(protocol: Any) -> httptools.HttpRequestParser:
    parser = httptools.HttpRequestParser(protocol)
    # As uvicorn does: bytes after a last request are not an error.
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser
