"""Records of benchmarks: figures by set-up in a file of JSON, and its tables next to it.

A script may measure some set-ups only, and on another machine: each set-up has the machine that it
was measured on, and those of earlier runs stay.
"""

import json
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = ["by_machine", "keep", "merged", "write"]


def merged(path: pathlib.Path, found: Mapping[str, Any], order: Iterable[str] = ()) -> dict:
    """Returns the set-ups of a file; those that were measured now replace older ones.

    Args:
        path: The file; it need not exist.
        found: What was measured now, by set-up.
        order: Names of set-ups in the order of the tables; others follow.
    """
    known = json.loads(path.read_text(encoding="utf-8"))["setups"] if path.exists() else {}
    known |= found
    return {name: known[name] for name in dict.fromkeys([*order, *known]) if name in known}


def keep(
    path: pathlib.Path,
    found: Mapping[str, Any],
    report: Callable[[dict[str, Any]], str],
    order: Iterable[str] = (),
    **others: Any,
) -> str:
    """Adds set-ups to a file, writes its tables next to it, and returns the tables.

    Args:
        path: The file.
        found: What was measured now, by set-up.
        report: Returns the tables of a record, whose set-ups are under `setups`.
        order: Names of set-ups in the order of the tables.
        **others: What the record holds next to its set-ups.
    """
    record = {"setups": merged(path, found, order), **others}
    text = report(record)
    write(path, record, text)
    return text


def write(path: pathlib.Path, record: Mapping[str, Any], text: str) -> None:
    """Writes a record, and its tables next to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(text, encoding="utf-8")


def by_machine(
    setups: Iterable[Mapping[str, Any]],
    describe: Callable[[Mapping[str, Any]], str],
    between: str = "\n\n",
) -> str:
    """Says what set-ups were measured on, with their titles if it differs between them.

    Args:
        setups: Each with its `title`.
        describe: Returns what a set-up was measured on.
        between: Separates what is said of set-ups that differ.
    """
    titles: dict[str, list[str]] = {}
    for setup in setups:
        titles.setdefault(describe(setup), []).append(setup["title"])
    if len(titles) == 1:
        return next(iter(titles))
    return between.join(f"{' / '.join(names)}: {said}" for said, names in titles.items())
