"""Checks the `Host` header, against DNS rebinding.

A web page of another origin can make a browser send requests to a server on loopback, by letting
its own name resolve to 127.0.0.1. Such requests have the page's name as `Host`.
"""

import ipaddress
from collections.abc import Collection

from starlette.types import Scope

from tf_mvae.serving.server.errors import RequestError
from tf_mvae.serving.server.settings import Settings

__all__ = ["HostCheck"]

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


class HostCheck:
    """Rejects requests whose `Host` is not allowed.

    Allowed are the names of loopback, the address that the server is bound to, and
    `--allowed_hosts`, where `*` allows every name. A server that is bound to all addresses also
    allows every IP address, because DNS rebinding needs a name.
    """

    def __init__(self, settings: Settings):
        """Reads the allowed names from the settings."""
        self._any = "*" in settings.allowed_hosts
        self._names = _normalised([*_LOOPBACK_NAMES, settings.host, *settings.allowed_hosts])
        self._any_address = _is_unspecified(settings.host)

    def __call__(self, scope: Scope) -> None:
        """Checks a request.

        Raises:
            RequestError: 400 if there are several headers, 421 if the host is not allowed. A
                request without the header is accepted, because browsers always send it.
        """
        found = [value for name, value in scope["headers"] if name == b"host"]
        if len(found) > 1:
            raise RequestError(400, "a request must have one Host header")
        if self._any or not found:
            return
        name = _name_of(found[0].decode("latin-1"))
        if name in self._names or self._any_address and _address(name) is not None:
            return
        raise RequestError(
            421,
            f"this server does not answer to the host {name[:100]!r}; "
            "start it with --allowed_hosts=NAME to allow one",
        )


def _normalised(names: Collection[str]) -> frozenset[str]:
    return frozenset(_name_of(f"[{n}]" if n.count(":") > 1 and n[0] != "[" else n) for n in names)


def _name_of(host: str) -> str:
    """Returns the name in `NAME:PORT`, `[ADDRESS]:PORT` or `NAME`, in lower case."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].removesuffix(".")


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _is_unspecified(host: str) -> bool:
    address = _address(host)
    return host == "" or address is not None and address.is_unspecified
