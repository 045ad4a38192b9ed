"""Counts the files that an extension touches: `python benchmarks/extension_cost.py`.

It carries out the worked examples of CONTRIBUTING.md (a model, a likelihood, an experiment, an
analysis) in a temporary copy of the repository, and runs the tests that they bring.
"""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
# The most files, by what a section of CONTRIBUTING.md adds.
GOALS = {"A model": 3, "A likelihood": 3, "An experiment": 4, "An analysis": 3}
_SECTION = re.compile(r"^### (.+?)\n(.*?)(?=^###? |\Z)", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"^`([\w./]+)`.*?:\n\n```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples() -> dict[str, list[tuple[str, str, str]]]:
    """Returns, by section, each file of a worked example: its path, language and text."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return {title: _FILE.findall(part) for title, part in _SECTION.findall(text) if title in GOALS}


def copy_of_the_repository(folder: pathlib.Path) -> None:
    """Copies what the examples need."""
    for name in ("tf_mvae", "tests", "configs"):
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.keras")
        )
    for name in ("pyproject.toml", "setup.py"):
        shutil.copy(ROOT / name, folder)


def carry_out(files: list[tuple[str, str, str]], folder: pathlib.Path) -> int:
    """Writes the files of an example into a copy; returns how many there are.

    Raises:
        ValueError: A new file is there already, or a line is not there to add others after.
    """
    for name, language, text in files:
        path = folder / name
        if language == "diff":
            path.write_text(_with_lines_added(path.read_text(encoding="utf-8"), text, name))
            continue
        if path.exists():
            raise ValueError(f"{name} is there already")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return len({name for name, _, _ in files})


def _with_lines_added(text: str, diff: str, name: str) -> str:
    """Adds each `+` line after the line that begins as the one before it in the diff does."""
    lines = text.splitlines()
    place = 0
    for line in diff.splitlines():
        if line.startswith("+"):
            lines.insert(place, line[1:])
            place += 1
            continue
        found = [i for i, one in enumerate(lines) if one.startswith(line[1:])]
        if len(found) != 1:
            raise ValueError(f"{name} has {len(found)} lines that begin with {line[1:]!r}")
        place = found[0] + 1
    return "\n".join(lines) + "\n"


def listing(folder: pathlib.Path) -> str:
    """Returns what `python -m tf_mvae` prints in a copy."""
    return _python(folder, "-m", "tf_mvae")


def _python(folder: pathlib.Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(folder), "PATH": "", "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    if done.returncode:
        raise SystemExit(done.stdout[-3000:] + done.stderr[-1000:])
    return done.stdout


def main() -> int:
    """Carries the examples out, tests them and prints the counts; returns the exit status."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        copy_of_the_repository(folder)
        counts = {title: carry_out(files, folder) for title, files in examples().items()}
        tests = [p for files in examples().values() for p, _, _ in files if p.endswith("_test.py")]
        _python(folder, "-m", "pytest", "-n", "0", "-q", "-p", "no:cacheprovider", *tests)
    for title, goal in GOALS.items():
        print(f"{title:14} {counts[title]} files (at most {goal})")
    print(f"the tests of all {len(tests)} pass")
    return int(any(counts[title] > goal for title, goal in GOALS.items()))


if __name__ == "__main__":
    sys.exit(main())
