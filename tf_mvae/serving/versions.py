"""Numbers of versions, and their directories in the layout of TensorFlow Serving."""

import pathlib

__all__ = ["LARGEST_VERSION", "find_versions", "version_number"]

LARGEST_VERSION = 2**63 - 1  # TensorFlow Serving's versions have the type int64


def version_number(text: str) -> int | None:
    """Returns the number that a directory's name or a part of a URL stands for; `01` is 1.

    Args:
        text: The name.

    Returns:
        The number; None if the name is not a whole number from 0 to `LARGEST_VERSION`.
    """
    if not _is_number(text):
        return None
    digits = text.lstrip("0") or "0"
    # Python refuses to convert numbers of thousands of digits.
    if len(digits) > len(str(LARGEST_VERSION)) or int(digits) > LARGEST_VERSION:
        return None
    return int(digits)


def find_versions(root: pathlib.Path) -> tuple[dict[int, pathlib.Path], list[str]]:
    """Finds the directories of versions: those whose names are numbers.

    Of directories with the same number (`1`, `01`) the one with the shortest name counts, and the
    others are ignored. So are those with a larger number than `LARGEST_VERSION`.

    Args:
        root: The directory of all versions.

    Returns:
        The directories by number, and a sentence about each numbered directory that is ignored.

    Raises:
        OSError: `root` cannot be read.
    """
    found: dict[int, pathlib.Path] = {}
    ignored = []
    names = [path.name for path in root.iterdir() if _is_number(path.name) and path.is_dir()]
    for name in sorted(names, key=lambda name: (len(name), name)):
        number = version_number(name)
        if number is None:
            ignored.append(
                f"the directory {name} is ignored: a version is a number of at most "
                f"{LARGEST_VERSION}; rename it"
            )
        elif number in found:
            ignored.append(
                f"the directory {name} is ignored: {found[number].name} is the version {number} "
                "too; rename one of them"
            )
        else:
            found[number] = root / name
    return found, ignored


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()
