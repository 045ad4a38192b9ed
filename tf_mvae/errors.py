"""The exception for a user's mistakes."""

__all__ = ["UserError"]


class UserError(ValueError):
    """A user's mistake, in one line that says what is wrong and how to fix it.

    It is a `ValueError`, so library users can catch it as one; the commands print
    its message without a traceback and exit with status 2.
    """

    # Keras writes the arguments of a layer's call into other exceptions that pass it.
    _keras_call_info_injected = True
