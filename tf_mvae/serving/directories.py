"""Directories that are written whole or not at all, and numbered versions of them."""

import os
import pathlib
import shutil
from collections.abc import Callable

import tensorflow as tf

from tf_mvae.errors import UserError

__all__ = ["next_version", "versions", "write_directory", "write_version"]


def write_directory(directory: str | os.PathLike, write: Callable[[pathlib.Path], None]) -> None:
    """Writes a directory under another name, on to the disk, and gives it its name.

    Whoever looks sees all of it or nothing, whatever happens in between, a loss of power
    included. The other name begins with a dot, which TensorFlow Serving passes over.

    Args:
        directory: Where to; nothing, or an empty directory, may be there.
        write: Writes into an empty directory that it is given.

    Raises:
        UserError: Something is there already, or nothing can be written there.
    """
    target = pathlib.Path(directory).expanduser()
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise _there(target)
    if not _write(target.parent, target.name, write, lambda: target):
        raise _there(target)


def versions(root: str | os.PathLike) -> list[int]:
    """Returns the numbers of the versions in a directory, in order."""
    root = pathlib.Path(root).expanduser()
    if not root.is_dir():
        return []
    names = [path.name for path in root.iterdir() if path.is_dir()]
    return sorted(int(name) for name in names if name.isascii() and name.isdigit())


def next_version(root: str | os.PathLike) -> int:
    """Returns the number after the last version's; the first is 1."""
    return max(versions(root), default=0) + 1


def write_version(
    root: str | os.PathLike,
    write: Callable[[pathlib.Path], None],
    version: int | None = None,
    marker: str | None = None,
) -> pathlib.Path:
    """Writes a version next to those that are there: `ROOT/1`, `ROOT/2`, and so on.

    Args:
        root: The directory of all versions, which TensorFlow Serving watches.
        write: Writes into an empty directory that it is given.
        version: Its number; the one after the last if omitted.
        marker: A file that every version has: a server takes the last version, which must
            not be of another kind.

    Returns:
        The version's directory.

    Raises:
        UserError: The version is there already, is below 1, or cannot be written, or another
            one is of another kind.
    """
    root = pathlib.Path(root).expanduser()
    for number in versions(root):
        if marker and not (root / str(number) / marker).exists():
            raise UserError(
                f"{root / str(number)} has no {marker}: it is an export of another format, or "
                "none; choose another directory"
            )
    if version is not None and version < 1:
        raise UserError(f"a version is a number of at least 1, not {version}")
    if version is not None:
        write_directory(root / str(version), write)
        return root / str(version)
    target = None
    while target is None:  # another export may take the number first
        target = _write(root, "version", write, lambda: root / str(next_version(root)))
    return target


def _write(
    parent: pathlib.Path,
    name: str,
    write: Callable[[pathlib.Path], None],
    target: Callable[[], pathlib.Path],
) -> pathlib.Path | None:
    """Writes a directory in `parent`, and renames it to `target()`: None if that is taken."""
    temporary = parent / f".{name}.{os.getpid()}.tmp"
    try:
        temporary.mkdir(parents=True)
        write(temporary)
        for folder, _, names in os.walk(temporary):
            for entry in [*names, "."]:
                _to_disk(os.path.join(folder, entry))
        place = target()
        try:
            temporary.rename(place)  # refused where a directory is that holds anything
        except OSError:
            if place.exists():
                return None
            raise
        _to_disk(parent)
        return place
    except (OSError, tf.errors.PermissionDeniedError) as error:
        raise UserError(f"{parent / name} cannot be written: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _there(target: pathlib.Path) -> UserError:
    return UserError(f"{target} is there already; export to a directory that is not")


def _to_disk(path: str | os.PathLike) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
