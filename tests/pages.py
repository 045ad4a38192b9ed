"""The Python programs in the pages of the documentation."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
_BLOCK = re.compile(
    r"(?:<!-- (?P<kind>a test runs this|not run)(?:: (?P<note>.*?))? -->\n)?"
    r"```python\n(?P<text>.*?)```",
    re.S,
)


def blocks(page):
    """Returns the mark of each Python block of a page, its note, and the program."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [(m["kind"], m["note"], m["text"]) for m in _BLOCK.finditer(text)]


def programs(page):
    """Returns the programs of a page that a test runs."""
    return [text for kind, note, text in blocks(page) if kind == "a test runs this" and not note]


def run(page, changes=None, number=None):
    """Runs a page's programs one after another, and returns what they define.

    Args:
        page: Its path in the repository.
        changes: Texts to replace, so that it takes seconds; every one has to be there.
        number: How many of the programs, from the first; default: all.
    """
    names = {}
    chosen = programs(page)[:number]
    assert chosen, page
    for old in changes or {}:
        assert any(old in program for program in chosen), f"{page} has no {old!r}"
    for program in chosen:
        for old, new in (changes or {}).items():
            program = program.replace(old, new)
        exec(compile(program, page, "exec"), names)
    return names
