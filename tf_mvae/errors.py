"""The one exception that stands for a user's mistake."""

__all__ = ["UserError"]


class UserError(ValueError):
    """A mistake of the user's, told in one line that names the thing and the mend.

    It is a `ValueError`, so library users can catch it as one; the commands print
    its message without a traceback and exit with status 2.
    """
