"""Converts errors of the machine and of files to one line instead of a traceback."""

import contextlib
import errno
import os
import re
import sys
from collections.abc import Iterator

from tf_mvae.errors import UserError

__all__ = ["as_user_error", "named"]

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_MEMORY = re.compile(r"out of memory|OOM when|RESOURCE_EXHAUSTED|failed to allocate", re.IGNORECASE)
# TensorFlow writes "PATH; REASON", and sometimes more lines.
_FILE = re.compile(r"(?P<path>\S[^;\n]*); (?P<reason>[A-Z][A-Za-z -]+)")


@contextlib.contextmanager
def named(advice: str = "") -> Iterator[None]:
    """Raises `UserError` for the faults that `as_user_error` knows; others pass.

    Args:
        advice: What the user can rely on, for the end of the message.
    """
    try:
        yield
    except Exception as error:
        known = as_user_error(error, advice)
        if known is None or known is error:
            raise
        raise known from error


def as_user_error(error: Exception, advice: str = "") -> UserError | None:
    """Returns the one-line error of a fault; None if it is not one of these.

    Known are a full disk, memory that does not suffice, records of a data set that cannot be
    read, and files that cannot be read or written.

    Args:
        error: The exception.
        advice: See `named`.
    """
    if isinstance(error, UserError):
        return error
    message = _message(error)
    return None if message is None else UserError(message + (f"; {advice}" if advice else ""))


def _message(error: Exception) -> str | None:
    if isinstance(error, MemoryError):
        return _out_of_memory(str(error))
    if isinstance(error, OSError):
        return _of_file(error.filename, error.strerror or str(error), error.errno)
    tensorflow = sys.modules.get("tensorflow")  # without it, no error is one of its own
    if tensorflow is None or not isinstance(error, tensorflow.errors.OpError):
        return None
    errors, text = tensorflow.errors, error.message
    first = text.strip().splitlines()[0] if text.strip() else type(error).__name__
    file = _FILE.search(text)
    if file is not None and file["reason"].strip() in _REASONS:
        reason = file["reason"].strip()
        path = file["path"].rsplit("}} ", 1)[-1]
        return _of_file(path, reason, _REASONS[reason])
    if isinstance(error, errors.ResourceExhaustedError) or _MEMORY.search(text):
        return _out_of_memory(first)
    if isinstance(error, errors.DataLossError):
        return f"the data cannot be read: {_of_operation(first)}; prepare or copy it again"
    checked = re.search(r"tf_mvae<(.*?)>", text)  # of `tf_mvae.data.check_dataset`
    if isinstance(error, errors.InvalidArgumentError) and checked:
        return checked[1].replace("\\'", "'")
    # A picture or an example that cannot be decoded; `InvalidArgumentError` elsewhere is a bug.
    if isinstance(error, errors.InvalidArgumentError) and "IteratorGetNext" in text:
        return f"the data cannot be read: {_of_operation(first)}; check the data set"
    return None


_REASONS = {os.strerror(number): number for number in errno.errorcode}


def _of_file(path: str | None, reason: str, number: int | None) -> str:
    where = f"{path}: " if path else ""
    if number in _NO_ROOM:
        return f"no space left on the disk ({where}{reason}); make room"
    return f"{where}{reason}"


def _out_of_memory(detail: str) -> str:
    detail = f" ({_of_operation(detail)})" if detail.strip() else ""
    return f"out of memory{detail}; lower --batch_size or --num_samples"


def _of_operation(text: str) -> str:
    """Returns the first line of an operation's error, without where in a graph it happened."""
    first = text.strip().splitlines()[0]
    first = first.rsplit("}} ", 1)[-1]
    first = re.sub(r"^Error in user-defined function .* with iterator: [\w:\[\]]+: ", "", first)
    return first.split(" [[{{node")[0].split(" [Op:")[0].strip()
