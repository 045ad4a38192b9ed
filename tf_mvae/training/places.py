"""Where data sets lie: one may be moved between two commands of a run."""

import pathlib
import re

__all__ = ["data_name", "may_be_one"]


def data_name(directory: str) -> str:
    """Returns what a data set is called wherever it lies: NAME/VERSION in TFDS's way, or NAME.

    Of a relative path of less than that it is empty.
    """
    parts = pathlib.PurePath(directory).parts
    if not re.fullmatch(r"\d+\.\d+\.\d+", "".join(parts[-1:])):
        return "".join(parts[-1:])
    return "/".join(parts[-2:]) if len(parts) > 1 else ""


def may_be_one(one: str | None, other: str | None) -> bool:
    """Says whether two directories may hold one data set, of which one was moved."""
    if one is None or other is None:
        return one is other
    names = {data_name(one), data_name(other)} - {""}
    return len(names) < 2
