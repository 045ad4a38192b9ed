"""What goes wrong with a request, and the HTTP status and gRPC code that say so."""

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
    """Ends a request: over HTTP with a status and `{"error": message}`, over gRPC with a code.

    Attributes:
        status: The HTTP status.
        message: What is wrong, for the client.
        headers: Headers of the HTTP answer.
        code: The name of the gRPC code.
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
            message: What is wrong, for the client.
            headers: Headers of the HTTP answer.
            code: The name of the gRPC code; default: that of the status.
        """
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}
        self.code = code or _CODES.get(status, "INTERNAL")


def overloaded(message: str) -> RequestError:
    """Returns the refusal of a request that there is no room for."""
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


# Lines of TensorFlow's messages that speak of graphs and of the files that made them.
_INSIDES = ("Graph execution error", "Detected at", "File ", "<stack", "[[", "During handling")


def from_tensorflow(error: Exception) -> RequestError:
    """Returns the answer to a client for an error that a model's call raised.

    Of TensorFlow's message only the line that says what is wrong, without the names of
    nodes and of files on the machine that exported the model.
    """
    for kind, status, code in _STATUS:
        if isinstance(error, kind):
            lines = [line.strip() for line in error.message.splitlines()]
            kept = [line for line in lines if line and not line.startswith(_INSIDES)]
            said = (kept or [type(error).__name__])[0].split("[[")[0].split(" [Op:")[0]
            retry = {"Retry-After": "1"} if status in (429, 503) else None
            return RequestError(status, f"the model refused: {said[:500].strip()}", retry, code)
    return RequestError(500, "the model failed; the server's log says how")
