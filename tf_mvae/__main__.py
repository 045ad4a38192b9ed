"""Lists the commands, and the names that their flags accept: `python -m tf_mvae`."""

import ast
import pathlib
import sys
import textwrap

import tf_mvae
from tf_mvae.settings import ANALYSES, EXPERIMENTS, MODELS

__all__ = ["COMMANDS", "main"]

COMMANDS = (
    "train",
    "fit_sampler",
    "evaluate",
    "generate",
    "impute",
    "export",
    "serve",
    "sweep",
    "inspect_table",
    "data_service",
)


def main(arguments: list[str]) -> int:
    """Prints the version, the commands, and the names of experiments, models and analyses.

    Args:
        arguments: `--version` prints only the version; there are no others.

    Returns:
        The exit status.
    """
    version = f"tf_mvae {tf_mvae.__version__}"
    if arguments == ["--version"]:
        print(version)
        return 0
    if arguments not in ([], ["--help"], ["-h"]):
        print(
            f"error: {arguments[0]!r} is not known; commands are run as python -m "
            f"tf_mvae.{arguments[0] if arguments[0] in COMMANDS else 'train'} --help",
            file=sys.stderr,
        )
        return 2
    print(f"{version}: {_summary('__init__')}\n\ncommands (each has --help and --version):")
    width = max(map(len, COMMANDS))
    for name in COMMANDS:
        print(f"  python -m tf_mvae.{name:{width}}  {_summary(name).partition(':')[0]}.")
    for title, known in (
        ("experiments (--experiment)", EXPERIMENTS.names()),
        ("models (--model)", MODELS.names()),
        ("analyses (evaluate --analysis)", ANALYSES.names()),
    ):
        print(f"\n{title}:\n{textwrap.fill(', '.join(known), 96, **_INDENT)}")
    return 0


_INDENT = {"initial_indent": "  ", "subsequent_indent": "  "}


def _summary(module: str) -> str:
    """Returns the first line of a module's docstring; importing it would define its flags."""
    path = pathlib.Path(__file__).with_name(f"{module}.py")
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).splitlines()[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
