"""What goes wrong with a request, and the HTTP status that says so."""

import tensorflow as tf

__all__ = ["RequestError", "from_tensorflow", "overloaded"]


class RequestError(Exception):
    """Ends a request with a status and `{"error": message}`."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None):
        """Takes the status, the message and what headers go with them."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}


def overloaded(message: str) -> RequestError:
    """Returns the refusal of a request that there is no room for."""
    return RequestError(503, message, {"Retry-After": "1"})


# TensorFlow Serving's statuses for errors of the model.
_STATUS = (
    (tf.errors.InvalidArgumentError, 400),
    (tf.errors.OutOfRangeError, 400),
    (tf.errors.FailedPreconditionError, 400),
    (tf.errors.NotFoundError, 404),
    (tf.errors.AlreadyExistsError, 409),
    (tf.errors.AbortedError, 409),
    (tf.errors.UnauthenticatedError, 401),
    (tf.errors.CancelledError, 499),
    (tf.errors.PermissionDeniedError, 403),
    (tf.errors.ResourceExhaustedError, 429),
    (tf.errors.DeadlineExceededError, 504),
    (tf.errors.UnimplementedError, 501),
    (tf.errors.UnavailableError, 503),
)


# Lines of TensorFlow's messages that speak of graphs and of the files that made them.
_INSIDES = ("Graph execution error", "Detected at", "File ", "<stack", "[[", "During handling")


def from_tensorflow(error: Exception) -> RequestError:
    """Returns the answer to a client for an error that a model's call raised.

    Of TensorFlow's message only the line that says what is wrong, without the names of
    nodes and of files on the machine that exported the model.
    """
    for kind, status in _STATUS:
        if isinstance(error, kind):
            lines = [line.strip() for line in error.message.splitlines()]
            kept = [line for line in lines if line and not line.startswith(_INSIDES)]
            said = (kept or [type(error).__name__])[0].split("[[")[0].split(" [Op:")[0]
            retry = {"Retry-After": "1"} if status in (429, 503) else None
            return RequestError(status, f"the model refused: {said[:500].strip()}", retry)
    return RequestError(500, "the model failed; the server's log says how")
