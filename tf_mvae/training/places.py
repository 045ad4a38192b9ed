"""Compares directories of data sets, which may be moved between two commands of a run."""

import pathlib
import re

__all__ = ["data_name", "may_be_one"]


def data_name(directory: str) -> str:
    """Returns a data set's name, the end of its path: NAME/VERSION for TFDS, otherwise NAME.

    Args:
        directory: The path. A relative path may not contain the name; the result is then empty.
    """
    parts = pathlib.PurePath(directory).parts
    if not re.fullmatch(r"\d+\.\d+\.\d+", "".join(parts[-1:])):
        return "".join(parts[-1:])
    return "/".join(parts[-2:]) if len(parts) > 1 else ""


def may_be_one(one: str | None, other: str | None) -> bool:
    """Returns whether two directories may have the same data set, because it was moved.

    Args:
        one: A path, or None for the default.
        other: Another path, or None for the default.
    """
    if one is None or other is None:
        return one is other
    names = {data_name(one), data_name(other)} - {""}
    return len(names) < 2
