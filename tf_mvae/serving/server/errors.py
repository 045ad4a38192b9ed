"""Errors of requests, with their HTTP status and gRPC code."""

import tensorflow as tf

__all__ = ["RequestError", "from_tensorflow", "overloaded"]


# The gRPC code of each HTTP status; INTERNAL otherwise.
_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    413: "RESOURCE_EXHAUSTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class RequestError(Exception):
    """An error that is sent to the client: as `{"error": message}` over HTTP, as a code over gRPC.

    Attributes:
        status: The HTTP status.
        message: The message for the client.
        headers: Headers of the HTTP response.
        code: The name of the gRPC status code.
    """

    def __init__(
        self,
        status: int,
        message: str,
        headers: dict[str, str] | None = None,
        code: str | None = None,
    ):
        """Makes an error.

        Args:
            status: The HTTP status.
            message: The message for the client.
            headers: Headers of the HTTP response.
            code: The name of the gRPC status code; default: the one that belongs to `status`.
        """
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}
        self.code = code or _CODES.get(status, "INTERNAL")


def overloaded(message: str) -> RequestError:
    """Returns the error of an overloaded server: status 503 with `Retry-After`.

    Args:
        message: The message for the client.
    """
    return RequestError(503, message, {"Retry-After": "1"})


# TensorFlow Serving's HTTP statuses and gRPC codes for errors of the model.
_STATUS = (
    (tf.errors.InvalidArgumentError, 400, "INVALID_ARGUMENT"),
    (tf.errors.OutOfRangeError, 400, "OUT_OF_RANGE"),
    (tf.errors.FailedPreconditionError, 400, "FAILED_PRECONDITION"),
    (tf.errors.NotFoundError, 404, "NOT_FOUND"),
    (tf.errors.AlreadyExistsError, 409, "ALREADY_EXISTS"),
    (tf.errors.AbortedError, 409, "ABORTED"),
    (tf.errors.UnauthenticatedError, 401, "UNAUTHENTICATED"),
    (tf.errors.CancelledError, 499, "CANCELLED"),
    (tf.errors.PermissionDeniedError, 403, "PERMISSION_DENIED"),
    (tf.errors.ResourceExhaustedError, 429, "RESOURCE_EXHAUSTED"),
    (tf.errors.DeadlineExceededError, 504, "DEADLINE_EXCEEDED"),
    (tf.errors.UnimplementedError, 501, "UNIMPLEMENTED"),
    (tf.errors.UnavailableError, 503, "UNAVAILABLE"),
)


# Beginnings of lines in TensorFlow's messages about graphs and source files.
_INSIDES = ("Graph execution error", "Detected at", "File ", "<stack", "[[", "During handling")


def from_tensorflow(error: Exception) -> RequestError:
    """Converts an error of a model's call to an error for the client.

    The message is only the line of TensorFlow's message that describes the error, without names of
    nodes and of source files on the machine that exported the model.

    Args:
        error: The error that the model raised.
    """
    for kind, status, code in _STATUS:
        if isinstance(error, kind):
            lines = [line.strip() for line in error.message.splitlines()]
            kept = [line for line in lines if line and not line.startswith(_INSIDES)]
            said = (kept or [type(error).__name__])[0].split("[[")[0].split(" [Op:")[0]
            retry = {"Retry-After": "1"} if status in (429, 503) else None
            return RequestError(status, f"the model refused: {said[:500].strip()}", retry, code)
    return RequestError(500, "the model failed; the server's log says how")
