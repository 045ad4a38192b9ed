"""Atomic writing of directories, and numbered versions of them."""

import os
import pathlib
import shutil
import uuid
from collections.abc import Callable

import tensorflow as tf

from tf_mvae.errors import UserError
from tf_mvae.serving.versions import LARGEST_VERSION, find_versions

__all__ = ["next_version", "versions", "write_directory", "write_version"]


def write_directory(directory: str | os.PathLike, write: Callable[[pathlib.Path], None]) -> None:
    """Writes a directory atomically: it appears under its name when all files are on the disk.

    The files are first written to a temporary directory next to it, flushed (`fsync`), and moved by
    one rename. So an interrupted write, or a loss of power, never leaves a part of the directory
    under its final name. The temporary name begins with a dot, which TensorFlow Serving ignores.

    Args:
        directory: The path to create. It must not exist, or be an empty directory.
        write: Called with the temporary, empty directory; writes the files into it.

    Raises:
        UserError: The directory exists and is not empty, or cannot be written.
    """
    target = pathlib.Path(directory).expanduser()
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise _there(target)
    _write(target.parent, target.name, write, lambda: target)


def versions(root: str | os.PathLike) -> list[int]:
    """Returns the numbers of the versions in a directory, in increasing order.

    Args:
        root: The directory of all versions; it may be missing.
    """
    return sorted(_directories(pathlib.Path(root).expanduser()))


def next_version(root: str | os.PathLike) -> int:
    """Returns the largest version number in a directory plus 1, or 1 if there is no version.

    Args:
        root: The directory of all versions; it may be missing.
    """
    return max(versions(root), default=0) + 1


def write_version(
    root: str | os.PathLike,
    write: Callable[[pathlib.Path], None],
    version: int | None = None,
    marker: str | None = None,
) -> pathlib.Path:
    """Writes a numbered version of a directory: `ROOT/1`, `ROOT/2`, and so on.

    Args:
        root: The directory of all versions, which TensorFlow Serving watches.
        write: Called with a temporary, empty directory; writes the files into it.
        version: The version's number; default: the largest number plus 1.
        marker: The name of a file that each existing version must contain. A server loads the last
            version, so all versions must have the same format.

    Returns:
        The version's directory.

    Raises:
        UserError: The version exists, is below 1 or above `LARGEST_VERSION`, or cannot be written,
            or an existing version does not contain `marker`.
    """
    root = pathlib.Path(root).expanduser()
    there = _directories(root)
    for _, place in sorted(there.items()):
        if marker and not (place / marker).exists():
            raise UserError(
                f"{place} has no {marker}, so it is an export of another format, or "
                "no export; choose another directory"
            )
    if version is None:
        _check_number(next_version(root))
        return _write(root, "version", write, lambda: root / str(next_version(root)))
    _check_number(version)
    if there.get(version, root / str(version)) != root / str(version):
        raise _there(there[version])  # `01`, say
    write_directory(root / str(version), write)
    return root / str(version)


def _directories(root: pathlib.Path) -> dict[int, pathlib.Path]:
    """Returns the directories of versions by number; none if `root` is missing."""
    return find_versions(root)[0] if root.is_dir() else {}


def _check_number(version: int) -> None:
    if not 1 <= version <= LARGEST_VERSION:
        raise UserError(
            f"the version is {version}; give a number of at least 1 and at most {LARGEST_VERSION}"
        )


def _write(
    parent: pathlib.Path,
    name: str,
    write: Callable[[pathlib.Path], None],
    target: Callable[[], pathlib.Path],
) -> pathlib.Path:
    """Writes a directory in `parent`, and renames it to `target()`, which it returns.

    Another export may create this first: what is written then takes the next name, if `target` has
    one.
    """
    # A name of its own: threads have one process number, and containers often the same.
    temporary = parent / f".{name}.{uuid.uuid4().hex}.tmp"
    try:
        temporary.mkdir(parents=True)
        write(temporary)
        for folder, _, names in os.walk(temporary):
            for entry in [*names, "."]:
                _to_disk(os.path.join(folder, entry))
        place = _renamed(temporary, target)
        _to_disk(parent)
        return place
    except (OSError, tf.errors.PermissionDeniedError) as error:
        raise UserError(f"{parent / name} cannot be written: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _renamed(directory: pathlib.Path, target: Callable[[], pathlib.Path]) -> pathlib.Path:
    """Renames a directory to `target()`, and if that is there by then, to the next one."""
    while True:
        place = target()
        try:
            return directory.rename(place)  # fails if `place` is a directory that is not empty
        except OSError:
            if not place.exists():
                raise
            if target() == place:
                raise _there(place) from None


def _there(target: pathlib.Path) -> UserError:
    return UserError(f"{target} exists already; export to another directory")


def _to_disk(path: str | os.PathLike) -> None:
    """Flushes a file, or the entries of a directory, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
