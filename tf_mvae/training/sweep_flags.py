"""The lists in the flags of a sweep."""

import pathlib
from collections.abc import Sequence

from tf_mvae.errors import UserError
from tf_mvae.names import BASELINES

__all__ = ["parse_methods", "parse_numbers"]


def parse_methods(items: Sequence[str]) -> dict[str, str | None]:
    """Reads `['mvae=configs/weak_supervision/mvae.cfg', 'logistic_regression']`.

    Raises:
        UserError: An item is no baseline and no name with a flagfile that is there.
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
        if equals and not (name.isidentifier() and pathlib.Path(file).is_file()):
            raise UserError(f"--methods: {item!r} is not NAME=FLAGFILE, or {file!r} is not there")
        methods[name] = file or None
    return methods


def parse_numbers(flag: str, items: Sequence[str], kind: type) -> tuple:
    """Reads a flag's list of numbers.

    Raises:
        UserError: One of them is none, or there is none.
    """
    try:
        numbers = tuple(kind(item) for item in items)
    except ValueError as error:
        raise UserError(f"--{flag} is a list of numbers, not {','.join(items)}") from error
    if not numbers or len(set(numbers)) < len(numbers):
        raise UserError(f"--{flag} is a list of different numbers, not {','.join(items)!r}")
    return numbers
