"""Shared code of the commands: flags, and errors of users in one line."""

import os
import pathlib
import sys
from collections.abc import Callable, Sequence

from absl import app, flags, logging

import tf_mvae
from tf_mvae import checks, failures
from tf_mvae.errors import UserError
from tf_mvae.names import LATENTS

__all__ = [
    "check_free",
    "define_model_flags",
    "define_overwrite_flag",
    "define_seed_flag",
    "expand_flagfiles",
    "is_within",
    "quiet_tensorflow",
    "run",
]

flags.disclaim_key_flags()  # they are the command's that calls `define_..._flags`


def quiet_tensorflow() -> None:
    """Keeps TensorFlow's start-up messages off the terminal, unless the user set a level."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def define_model_flags() -> None:
    """Defines the flags of commands that use the model of a run: `checkpoint` and `latents`."""
    flags.DEFINE_enum("checkpoint", "best", ["best", "last"], "Checkpoint whose weights are used.")
    flags.DEFINE_enum(
        "latents",
        "sampler",
        LATENTS,
        "Distribution of the latents: the run's sampler if it has one, or q(z | what is given); "
        "refined: the Gaussian that maximises the ELBO of each example, for few training examples; "
        "product: of MoPoE, the product of what is given, which is its default.",
    )


def define_overwrite_flag() -> None:
    """Defines the flag of commands that write what the user names: `overwrite`."""
    flags.DEFINE_bool("overwrite", False, "Whether existing files are replaced.")


def define_seed_flag(about: str) -> None:
    """Defines the flag of commands that draw at random: `seed`.

    Args:
        about: The flag's help: what the seed is for.
    """
    flags.DEFINE_integer("seed", 0, about, 0, checks.LARGEST_SEED)


def check_free(flag: str, path: str | os.PathLike) -> None:
    """Checks that writing to a path loses nothing, unless `--overwrite` allows it.

    Args:
        flag: The flag that names the path, for the message.
        path: The path.

    Raises:
        UserError: It is a folder, or an existing file without `--overwrite`.
    """
    path = pathlib.Path(path).expanduser()
    if path.is_dir() or (path.exists() and not flags.FLAGS.overwrite):
        raise UserError(f"--{flag}={path} is there already; name another file, or --overwrite")


def is_within(path: str | os.PathLike, other: str | os.PathLike) -> bool:
    """Says whether a path is another one, or in that folder.

    Args:
        path: The path; neither has to exist.
        other: The file or folder.
    """
    place, taken = (pathlib.Path(one).expanduser().resolve() for one in (path, other))
    return place == taken or taken in place.parents


def expand_flagfiles(
    arguments: Sequence[str], folder: str = "", above: Sequence[str] = ()
) -> list[str]:
    """Returns a command line in which flagfiles are replaced by their contents.

    A flagfile within a flagfile is looked for next to it, and then where the command runs.

    Args:
        arguments: The command line.
        folder: Where flagfiles are looked for first.
        above: The real paths of the flagfiles that these arguments come from.

    Raises:
        UserError: A flagfile includes itself, or is not UTF-8.
        OSError: One cannot be read.
    """
    found, rest = [], iter(arguments)
    for argument in rest:
        name, equals, path = argument.lstrip("-").partition("=")
        if name != "flagfile" or not argument.startswith("-"):
            found.append(argument)
            continue
        path = os.path.expanduser(path if equals else next(rest, ""))
        neighbour = os.path.join(folder, path)
        path = neighbour if os.path.exists(neighbour) else path
        place = os.path.realpath(path)
        if place in above:
            raise UserError(f"--flagfile={path} includes itself; remove that line")
        found += expand_flagfiles(_flags_in(path), os.path.dirname(path), (*above, place))
    return found


def _flags_in(path: str) -> list[str]:
    """Returns the lines of a flagfile, without comments."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = [line.strip() for line in file]
    except UnicodeDecodeError as error:
        raise UserError(f"--flagfile={path} is not UTF-8; save it as UTF-8") from error
    return [line for line in lines if line and not line.startswith(("#", "//"))]


def run(
    main: Callable[[Sequence[str]], int | None],
    check: Callable[[], object] | None = None,
    define: Callable[[Sequence[str]], object] | None = None,
) -> None:
    """Runs a command's `main` with parsed flags and exits with its status.

    A wrong flag, a `UserError` and the faults of `tf_mvae.failures` are one line on standard
    error and status 2; an interrupt is status 130. `--version`, as the last argument, prints
    the version instead.

    Args:
        main: The command.
        check: Raises `UserError` for a wrong flag, before TensorFlow is imported (seconds).
        define: Defines flags that depend on others, given the command line.
    """
    quiet_tensorflow()
    logging.set_verbosity(logging.WARNING)
    app.run(
        lambda arguments: _guarded(main, check, arguments),
        flags_parser=lambda arguments: _parse(arguments, define),
    )


def _parse(
    arguments: Sequence[str], define: Callable[[Sequence[str]], object] | None
) -> Sequence[str]:
    # Not a flag: `export` has one of this name that takes a number.
    if arguments[-1] == "--version":
        print(f"tf_mvae {tf_mvae.__version__}")
        sys.exit(0)
    try:
        arguments = expand_flagfiles(arguments)
        if define is not None:
            define(arguments)
        rest = flags.FLAGS(arguments)
    except UserError as error:
        _fail(" ".join(str(error).split()))
    except (flags.Error, OSError) as error:
        message = str(error).removeprefix("FATAL Flags parsing error:").strip()
        _fail(f"{message.splitlines()[0]} (--help lists the flags)")
    if len(rest) > 1:
        _fail(f"unexpected argument {rest[1]!r}; flags are written --name=value")
    return rest


def _guarded(
    main: Callable[[Sequence[str]], int | None],
    check: Callable[[], object] | None,
    arguments: Sequence[str],
) -> int:
    try:
        with failures.named():
            if check is not None:
                check()
            _import_tensorflow()
            return main(arguments) or 0
    except UserError as error:
        _fail(" ".join(str(error).split()))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _import_tensorflow() -> None:
    """Imports TensorFlow without the lines that it prints before its log level is read."""
    sys.stderr.flush()
    terminal = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        import tensorflow  # noqa: F401
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)


def _fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
