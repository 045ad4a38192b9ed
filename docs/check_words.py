"""Finds phrases that a reader has to translate, in documentation, comments and messages.

`python docs/check_words.py` prints each place with what to write instead and why, and exits with 1
if there is one. It reads Markdown outside of code, and comments and strings of several words in
Python. Spelling is the business of `codespell`. A phrase that is right in one place stands in
`code`, or in `ALLOWED`. CHANGELOG.md is not read: entries of releases stay as they were.
"""

import io
import pathlib
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[1]
READ = (
    *("*.md", "docs/*.md", "docs/**/*.md", "results/*.md", "benchmarks/*.md", "custom_ops/*.md"),
    *("configs/*.cfg", "tf_mvae/*.py", "tf_mvae/**/*.py", "setup.py", "results/*.py"),
)
# A pattern, what to write instead, and why.
BANNED = (
    (r"(where )?(it is |they are )?left out", "if omitted; default: ...; excluded", "unusual"),
    (r"besides?", "next to; compared with; in addition to", "'beside' is a place, not a relation"),
    (r"(read|reads|reading) off", "predicted from; measured from", "a model predicts"),
    (r"had from", "predicted from; generated from", "a riddle"),
    (r"mends?|mended", "fix", "one repairs socks so, not programs"),
    (r"guises?", "views", "the field's word"),
    (r"haves|have-nots", "positives; negatives", "the field's words"),
    (r"(by|of) chance", "random; at random", "the field's word"),
    (r"lacks?|lacked|lacking", "is missing; does not have", "unusual; negations are clearer"),
    (r"told|tells?|telling", "reported; given; says which", "nobody speaks"),
    (r"a share|the shares?", "a fraction", "the field's word"),
    (r"what a term sees|draw says", "the subset; the sampled subsets", "a riddle"),
    (r"it is so", "(the fact itself)", "a riddle"),
    (r"whole examples", "complete examples", "the field's word"),
    (r"gathered gradients?", "accumulated gradients", "the field's word"),
    (r"anew", "again; newly", "archaic"),
    (r"thereof|whereof|thereby|heed(s|ed)?", "of it; by this; respect", "archaic"),
    (r"simply|just|obviously|of course", "(nothing)", "it says nothing"),
)
ALLOWED = {  # by file, a phrase and why it stays
    "results/result_tables/sentences.py": ("by chance", "a key of evaluation.json"),
    "tf_mvae/evaluation/translation.py": ("by chance", "a key of evaluation.json"),
    "tf_mvae/training/callbacks.py": ("tell", "an argument's name"),
}
_PATTERNS = [
    (re.compile(rf"\b(?:{pattern})\b".replace(" ", r"\s+"), re.I), instead, why)
    for pattern, instead, why in BANNED
]
_CODE = re.compile(r"^ *```.*?^ *```|`[^`\n]+`|<!--.*?-->|\]\([^)]*\)", re.M | re.S)


def main() -> int:
    """Prints what is found and returns the exit status."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *READ],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    names = sorted({*listed.stdout.split()} - {"CHANGELOG.md"})
    found = [line for name in names if (ROOT / name).exists() for line in check(ROOT / name)]
    print("\n".join(found), end="\n" * bool(found))
    return 1 if found else 0


def check(path: pathlib.Path) -> Iterator[str]:
    """Yields a line for each banned phrase of a file."""
    name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
    text = path.read_text(encoding="utf-8")
    parts = _python(text) if path.suffix == ".py" else [(1, text)]
    for first, part in parts:
        prose = _CODE.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), part)
        for pattern, instead, why in _PATTERNS:
            for match in pattern.finditer(prose):
                line = first + prose.count("\n", 0, match.start())
                phrase = " ".join(match[0].split())
                if phrase == ALLOWED.get(name, ("",))[0]:
                    continue
                yield f"{name}:{line}: '{phrase}': write '{instead}' ({why})"


def _python(text: str) -> Iterator[tuple[int, str]]:
    """Yields the comments and the strings of several words, each with its first line."""
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1)}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in kinds and " " in token.string.strip():
            yield token.start[0], token.string


if __name__ == "__main__":
    sys.exit(main())
