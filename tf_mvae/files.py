"""Files that are written completely or not at all."""

import contextlib
import os
import pathlib
from collections.abc import Iterator

__all__ = ["replacing", "sync", "write_bytes", "write_text"]


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a temporary path; the file written there replaces `path` at the end of the block.

    The temporary file is in the same folder, begins with a dot and has the same suffix. It is
    synced before it is renamed, so that a reader sees the old file or the new one, also after
    a loss of power. If the block raises, it is removed and `path` is left as it was.

    Args:
        path: The file to write. Its folder must exist.

    Yields:
        The temporary path.

    Example:
    ```python
    with replacing("runs/quickstart/model.keras") as temporary:
        model.save(temporary)
    ```
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Writes a file completely or not at all; see `replacing`."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a text file, UTF-8, completely or not at all; see `replacing`."""
    write_bytes(path, text.encode("utf-8"))


def sync(path: str | os.PathLike) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
