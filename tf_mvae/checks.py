"""Checks of the numbers and words that users pass as arguments.

Each function takes the argument's name and its value, and returns the value as a Python number
or word.
A value outside the domain raises `UserError` (a `ValueError`) in one line that says what is
allowed and what was given.
"""

import math
import numbers
import operator
from collections.abc import Collection
from typing import Any

from tf_mvae.errors import UserError

__all__ = [
    "LARGEST_SEED",
    "below_one",
    "finite",
    "fraction",
    "instance",
    "integer",
    "non_negative",
    "non_negative_integer",
    "one_of",
    "positive",
    "positive_fraction",
    "positive_integer",
    "seed",
    "shape",
]

LARGEST_SEED = 2**31 - 1  # TensorFlow's random operations take seeds of 32 bits, with a sign.


def integer(name: str, value: Any, minimum: int | None = None, maximum: int | None = None) -> int:
    """Returns an integer of at least `minimum` and at most `maximum`.

    Args:
        name: The argument's name, for the message.
        value: A Python or numpy integer, an integer scalar tensor, or a float without a
            fractional part.
        minimum: The least value that is allowed; no bound if omitted.
        maximum: The largest value that is allowed, if there is a least one.

    Raises:
        UserError: It is not an integer (a bool is not one), or it is out of bounds.
    """
    found = _integer_of(value)
    if found is None or not _is_within(found, minimum, maximum):
        most = "or more" if maximum is None else f"to {maximum}"
        bound = "" if minimum is None else f" of {minimum} {most}"
        raise UserError(f"{name} must be an integer{bound}; it is {value!r}")
    return found


def positive_integer(name: str, value: Any) -> int:
    """Returns an integer of 1 or more; see `integer`."""
    return integer(name, value, 1)


def non_negative_integer(name: str, value: Any) -> int:
    """Returns an integer of 0 or more; see `integer`."""
    return integer(name, value, 0)


def seed(name: str, value: Any) -> int:
    """Returns an integer of 0 to `LARGEST_SEED`; see `integer`."""
    return integer(name, value, 0, LARGEST_SEED)


def shape(name: str, value: Any) -> tuple[int, ...]:
    """Returns the sizes of a shape, each an integer of 1 or more; `[]` is a scalar's.

    Raises:
        UserError: It is not a sequence of such integers.
    """
    try:
        sizes = [_integer_of(size) for size in value]
    except TypeError:
        sizes = [None]
    found = tuple(size for size in sizes if size is not None and size >= 1)
    if len(found) < len(sizes):
        raise UserError(
            f"{name} must be a list of integers of 1 or more ([] for a number); it is {value!r}"
        )
    return found


def one_of(name: str, value: Any, allowed: Collection[str]) -> str:
    """Returns a word of a list.

    Args:
        name: The argument's name, for the message.
        value: What was given.
        allowed: The words.

    Raises:
        UserError: It is none of them.
    """
    if isinstance(value, str) and value in allowed:
        return value
    raise UserError(f"{name} must be one of {', '.join(allowed)}; it is {value!r}")


def instance(name: str, value: Any, kind: type, wanted: str) -> Any:
    """Returns a value of a type.

    Args:
        name: The argument's name, for the message.
        value: The value.
        kind: The type.
        wanted: What the argument must be, in words.

    Raises:
        UserError: It is of another type.
    """
    if not isinstance(value, kind):
        raise UserError(f"{name} must be {wanted}; it is {value!r}")
    return value


def finite(name: str, value: Any) -> float:
    """Returns a finite number.

    Raises:
        UserError: It is not a number, or it is NaN or infinite.
    """
    return _real(name, value, "a finite number", lambda _: True)


def non_negative(name: str, value: Any) -> float:
    """Returns a finite number of 0 or more; see `finite`."""
    return _real(name, value, "a finite number of 0 or more", lambda found: found >= 0)


def positive(name: str, value: Any) -> float:
    """Returns a finite number above 0; see `finite`."""
    return _real(name, value, "a finite number above 0", lambda found: found > 0)


def fraction(name: str, value: Any) -> float:
    """Returns a number in [0, 1]; see `finite`."""
    return _real(name, value, "a number in [0, 1]", lambda found: 0 <= found <= 1)


def positive_fraction(name: str, value: Any) -> float:
    """Returns a number in (0, 1]; see `finite`."""
    return _real(name, value, "a number in (0, 1]", lambda found: 0 < found <= 1)


def below_one(name: str, value: Any) -> float:
    """Returns a number in [0, 1); see `finite`."""
    return _real(name, value, "a number below 1, 0 or more", lambda found: 0 <= found < 1)


def _integer_of(value: Any) -> int | None:
    """Returns the integer that a value is, None if it is not one."""
    if _is_bool(value):
        return None
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral):
        number = float(value)
        return int(number) if number.is_integer() else None
    try:
        return operator.index(value)
    except TypeError:
        return None


def _is_within(number: int, minimum: int | None, maximum: int | None) -> bool:
    """Whether a number is within bounds, each None if there is none."""
    return (minimum is None or minimum <= number) and (maximum is None or number <= maximum)


def _real(name: str, value: Any, allowed: str, fits: Any) -> float:
    try:
        # The later values of a variable would have no effect.
        if _is_bool(value) or isinstance(value, str | bytes) or hasattr(value, "assign"):
            raise TypeError
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not (math.isfinite(found) and fits(found)):
        raise UserError(f"{name} must be {allowed}; it is {value!r}")
    return found


def _is_bool(value: Any) -> bool:
    """Whether a value is a bool, numpy's and TensorFlow's included."""
    kind = getattr(value, "dtype", None)
    return isinstance(value, bool) or getattr(kind, "name", None) == "bool"
