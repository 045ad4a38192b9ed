"""Measures how densely code is commented and how long sentences are, before and after a change.

`python docs/density.py REVISION ...` prints a row for each revision of git and one for the working
tree:

- comments per 100 lines of code, the median over the modules of the package and their mean;
- words per sentence in docstrings, and in the pages of the documentation: the median, and the
  length that one sentence in ten exceeds.

Code, tables, headings and generated figures are not prose and do not count; CHANGELOG.md neither.
"""

import ast
import io
import pathlib
import re
import statistics
import subprocess
import sys
import tarfile
import tokenize
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[1]
_PAGES = re.compile(r"(?:README|CONTRIBUTING|docs/[^:]*)\.md")
_MODULES = re.compile(r"tf_mvae/.*\.py")
# Fenced code, comments with what is between two marks, tables, headings.
_NO_PROSE = re.compile(
    r"^ *```.*?^ *```|<!-- (\w+) -->.*?<!-- /\1 -->|<!--.*?-->|^ *\|.*?$|^ *#.*?$", re.M | re.S
)
_CODE = re.compile(r"`[^`]*`")
_LINK = re.compile(r"\]\([^)]*\)")
_BLOCK = re.compile(r"\n\s*\n|\n\s*(?=[-*] |\d+\. )")
_END = re.compile(r"(?<=[.!?:;])\s+(?=[^a-z])")
_ARGUMENT = re.compile(r"^ *\**\w+: ", re.M)
_SECTION = re.compile(r"^ *(?:Args|Attributes|Example|Raises|Returns|Yields):\s*$", re.M)


def main(revisions: list[str]) -> int:
    """Prints the table and returns the exit status."""
    print("| revision | comments per 100 lines | words per sentence: docstrings | pages |")
    print("| --- | --- | --- | --- |")
    for revision in [*revisions, None]:
        print(row(revision or "working tree", files(revision)))
    return 0


def files(revision: str | None) -> dict[str, str]:
    """Returns the modules and pages of a revision, or of the working tree, by path."""
    if revision is None:
        listed = _git("ls-files", "-z", "--", "*.py", "*.md").decode().split("\0")
        there = [name for name in listed if _wanted(name) and (ROOT / name).exists()]
        return {name: (ROOT / name).read_text(encoding="utf-8") for name in there}
    with tarfile.open(fileobj=io.BytesIO(_git("archive", "--format=tar", revision))) as archive:
        members = [member for member in archive if member.isfile() and _wanted(member.name)]
        return {m.name: archive.extractfile(m).read().decode("utf-8") for m in members}


def row(title: str, texts: dict[str, str]) -> str:
    """Returns the row of a table."""
    modules = [text for name, text in texts.items() if name.endswith(".py")]
    pages = [text for name, text in texts.items() if name.endswith(".md")]
    densities = [100 * number / lines for number, lines in map(comments, modules) if lines]
    docstrings = [text for module in modules for text in docstrings_of(module)]
    return (
        f"| {title} | median {statistics.median(densities):.1f}, "
        f"mean {statistics.mean(densities):.1f} | {_lengths(docstrings)} | {_lengths(pages)} |"
    )


def comments(module: str) -> tuple[int, int]:
    """Returns the numbers of comments and of lines with code; docstrings are neither."""
    skipped = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    number, lines = 0, set()
    for token in tokenize.generate_tokens(io.StringIO(module).readline):
        if token.type == tokenize.COMMENT:
            number += 1
        elif token.type not in skipped and not token.line.lstrip().startswith('"""'):
            lines.update(range(token.start[0], token.end[0] + 1))
    return number, len(lines)


def docstrings_of(module: str) -> Iterator[str]:
    """Yields the docstrings of a module, its classes and its functions."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(module)):
        if isinstance(node, kinds) and (text := ast.get_docstring(node)):
            yield text


def sentences(text: str) -> list[str]:
    """Returns the sentences of Markdown or of a docstring; a piece of code counts as a word."""
    prose = _ARGUMENT.sub("\n\n", _SECTION.sub("\n\n", _NO_PROSE.sub("\n\n", text)))
    prose = _LINK.sub("]", _CODE.sub("code", prose))
    blocks = (" ".join(block.split()) for block in _BLOCK.split(prose))
    found = (part for block in blocks for part in _END.split(block))
    return [sentence for sentence in found if len(re.findall(r"\w+", sentence)) > 2]


def _lengths(texts: list[str]) -> str:
    words = sorted(len(re.findall(r"[\w'-]+", s)) for text in texts for s in sentences(text))
    return (
        f"median {statistics.median(words):.0f}, longest tenth above {words[len(words) * 9 // 10]}"
    )


def _wanted(name: str) -> bool:
    return bool(_PAGES.fullmatch(name) or _MODULES.fullmatch(name))


def _git(*arguments: str) -> bytes:
    result = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True)
    if result.returncode:
        print(f"git {' '.join(arguments)}: {result.stderr.decode().strip()}", file=sys.stderr)
        sys.exit(2)
    return result.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
