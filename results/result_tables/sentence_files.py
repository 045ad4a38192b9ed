"""The sentences that an evaluation leaves to read: three lines each.

```
en: what was given
  vi, by people: the reference
  vi, by the model: what was said
```
"""

import collections
import pathlib
from collections.abc import Iterator

_PEOPLE, _MODEL = ", by people: ", ", by the model: "


def keep_sentences(source: pathlib.Path, target: pathlib.Path, number: int) -> None:
    """Copies the first few sentences of each direction."""
    count: collections.Counter = collections.Counter()
    kept = []
    for lines in _triples(source):
        direction = (lines[0].partition(": ")[0], lines[1].partition(_PEOPLE)[0])
        count[direction] += 1
        kept += lines if count[direction] <= number else []
    target.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")


def read_sentences(path: pathlib.Path) -> dict[tuple[str, str, str, str], str]:
    """Returns what was said, by source language, source, target language and reference."""
    said = {}
    for source, reference, hypothesis in _triples(path) if path.exists() else ():
        language, _, given = source.partition(": ")
        target, _, wanted = reference.strip().partition(_PEOPLE)
        said[language, given, target, wanted] = hypothesis.partition(_MODEL)[2]
    return said


def _triples(path: pathlib.Path) -> Iterator[tuple[str, str, str]]:
    lines = iter(path.read_text(encoding="utf-8").rstrip("\n").split("\n"))
    return zip(lines, lines, lines, strict=True)
