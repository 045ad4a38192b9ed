"""Backgrounds that digits are drawn on: five textures of this package, or pictures of a folder."""

import hashlib
import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tf_mvae.errors import UserError

__all__ = ["NUMBER", "content_hash", "procedural", "read_folder"]

NUMBER = 5
_SIZE = 256
_SMALLEST = 28
_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")


def procedural() -> list[np.ndarray]:
    """Returns five textures, uint8 `[256, 256, 3]`: stars, stripes, checks, clouds and rings.

    They are made by integer arithmetic alone, so that every machine makes the same bytes. No
    channel of one is near middle grey everywhere: a pixel and its inverse differ clearly, and so
    do the inverse and all other pixels of the same texture.

    Example:

    ```python
    stars, stripes, checks, clouds, rings = procedural()
    ```
    """
    y, x = np.mgrid[:_SIZE, :_SIZE].astype(np.int64)
    stars = _two_colours(_hashed(x, y, 1) % 41 == 0, (12, 14, 44), (96, 104, 120))
    stripes = _two_colours((x + y) // 10 % 2 == 1, (206, 34, 20), (240, 112, 36))
    checks = _two_colours((x // 9 + y // 9) % 2 == 1, (16, 104, 32), (60, 168, 52))
    depth = _smooth_noise(3)  # [height, width], 0 to 255
    clouds = 255 - depth[..., np.newaxis] * np.array([88, 52, 16]) // 255
    rings = _two_colours(
        ((x - 90) ** 2 + (y - 150) ** 2) // 1400 % 2 == 1, (92, 16, 144), (140, 52, 210)
    )
    return [texture.astype(np.uint8) for texture in (stars, stripes, checks, clouds, rings)]


def read_folder(directory: str) -> list[np.ndarray]:
    """Reads the five pictures of a folder, in the order of their names.

    Args:
        directory: It holds exactly five pictures (PNG, JPEG or BMP) of 28 x 28 pixels or more;
            other files are ignored.

    Returns:
        uint8 `[height, width, 3]` each.

    Raises:
        UserError: There is no such folder, it holds another number of pictures, or one cannot be
            read or is too small.
    """
    folder = pathlib.Path(directory).expanduser()
    if not folder.is_dir():
        raise UserError(f"--backgrounds={directory} is not a folder")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    if len(paths) != NUMBER:
        raise UserError(
            f"--backgrounds={directory} holds {len(paths)} pictures; it must hold {NUMBER}, one "
            "for each modality"
        )
    return [_read(path) for path in paths]


def content_hash(backgrounds: Sequence[np.ndarray]) -> str:
    """Returns the SHA-256 of backgrounds' shapes and pixels, in hexadecimal digits.

    Args:
        backgrounds: uint8 `[height, width, 3]` each; their order counts.
    """
    digest = hashlib.sha256()
    for background in backgrounds:
        digest.update(repr(background.shape).encode())
        digest.update(np.ascontiguousarray(background).tobytes())
    return digest.hexdigest()


def _read(path: pathlib.Path) -> np.ndarray:
    try:
        picture = tf.io.decode_image(path.read_bytes(), channels=3, expand_animations=False).numpy()
    except (OSError, tf.errors.InvalidArgumentError) as error:
        raise UserError(f"background {path} cannot be read as a picture; replace it") from error
    if min(picture.shape[:2]) < _SMALLEST:
        height, width = picture.shape[:2]
        raise UserError(
            f"background {path} has {width} x {height} pixels; it needs {_SMALLEST} x "
            f"{_SMALLEST} or more"
        )
    return picture


def _two_colours(second: np.ndarray, one: Sequence[int], other: Sequence[int]) -> np.ndarray:
    """Returns one colour, and another one where `second` `[height, width]` is true."""
    return np.where(second[..., np.newaxis], np.array(other), np.array(one))


def _hashed(x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    """Returns a pseudo-random number of 0 to 2^16 - 1 for each place."""
    value = (x * 374_761_393 + y * 668_265_263 + seed * 974_634_777) & 0xFFFFFFFF
    value = ((value ^ (value >> 13)) * 1_274_126_177) & 0xFFFFFFFF
    return (value ^ (value >> 16)) & 0xFFFF


def _smooth_noise(seed: int) -> np.ndarray:
    """Returns noise between 0 and 255, interpolated between points that are 16 pixels apart."""
    cell = 16
    y, x = np.mgrid[:_SIZE, :_SIZE].astype(np.int64)
    left, top, right_weight, low_weight = x // cell, y // cell, x % cell, y % cell
    corners = [[_hashed(left + i, top + j, seed) % 256 for i in (0, 1)] for j in (0, 1)]
    rows = [
        corner[0] * (cell - right_weight) + corner[1] * right_weight  # times the cell's width
        for corner in corners
    ]
    return (rows[0] * (cell - low_weight) + rows[1] * low_weight) // cell**2
