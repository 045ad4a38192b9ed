"""Parses the flags of a sweep that are lists."""

import pathlib
from collections.abc import Sequence

from tf_mvae.errors import UserError
from tf_mvae.names import BASELINES

__all__ = ["parse_methods", "parse_numbers"]


def parse_methods(items: Sequence[str]) -> dict[str, str | None]:
    """Parses `--methods`.

    Args:
        items: Items such as `mvae=configs/weak_supervision/mvae.cfg` and `logistic_regression`.

    Returns:
        The flagfile of each model, and None for each baseline, by name.

    Raises:
        UserError: An item is neither a baseline nor another name with an existing flagfile.
    """
    methods: dict[str, str | None] = {}
    for item in items:
        name, equals, file = item.partition("=")
        if name in methods:
            raise UserError(f"--methods names {name!r} twice")
        if not equals and name not in BASELINES:
            raise UserError(
                f"--methods: {item!r} is none of {', '.join(BASELINES)}; a model is NAME=FLAGFILE"
            )
        if equals and name in BASELINES:
            raise UserError(f"--methods: {name!r} is a baseline; give the model another name")
        if equals and not (name.isidentifier() and pathlib.Path(file).is_file()):
            raise UserError(f"--methods: {item!r} is not NAME=FLAGFILE, or {file!r} does not exist")
        methods[name] = file or None
    return methods


def parse_numbers(flag: str, items: Sequence[str], kind: type) -> tuple:
    """Parses a flag whose value is a list of different numbers.

    Args:
        flag: The flag's name, for messages.
        items: The items of the list.
        kind: `int` or `float`.

    Raises:
        UserError: An item is not a number, two are equal, or the list is empty.
    """
    try:
        numbers = tuple(kind(item) for item in items)
    except ValueError as error:
        raise UserError(f"--{flag} is a list of numbers, not {','.join(items)}") from error
    if not numbers or len(set(numbers)) < len(numbers):
        raise UserError(f"--{flag} is a list of different numbers, not {','.join(items)!r}")
    return numbers
