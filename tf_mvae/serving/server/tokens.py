"""Checks the bearer token of a request, the same for both APIs."""

import hmac

from tf_mvae.serving.server.errors import RequestError

__all__ = ["TokenCheck"]


class TokenCheck:
    """Rejects requests without the server's token; without a token it accepts all."""

    def __init__(self, token: str | None):
        """Makes the check.

        Args:
            token: The token that clients must send, or None.
        """
        self._token = None if token is None else token.encode()

    def __call__(self, authorization: bytes) -> None:
        """Checks `Bearer TOKEN`; upper and lower case of `Bearer` are the same (RFC 9110, 11.1).

        Args:
            authorization: The header `Authorization` of a request; empty without it.

        Raises:
            RequestError: 401 if the token is missing or wrong.
        """
        if self._token is None:
            return
        scheme, _, token = authorization.partition(b" ")
        # In constant time: how long it takes must not depend on how much of a token is right.
        if not hmac.compare_digest(token.strip(), self._token) or scheme.lower() != b"bearer":
            raise RequestError(
                401, "a bearer token is needed", {"WWW-Authenticate": 'Bearer realm="tf_mvae"'}
            )
