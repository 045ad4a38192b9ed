"""Grids of images, with words next to and below them."""

import pathlib
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tf_mvae import files

__all__ = ["image_grid", "save_figure", "tile"]

_GAP = 2


def tile(images: np.ndarray, columns: int, background: float = 1.0) -> np.ndarray:
    """Lays images out in rows.

    Args:
        images: `[number, height, width, 1 or 3]` in [0, 1].
        columns: Images a row.
        background: Grey level between and behind them.

    Returns:
        One picture, `[rows * (height + 2) - 2, columns * (width + 2) - 2, 3]`.
    """
    images = np.clip(np.asarray(images, np.float32), 0, 1)
    number, height, width, _ = images.shape
    rows = -(-number // columns)
    shape = (rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3)
    canvas = np.full(shape, background, np.float32)
    for place, image in enumerate(images):
        top, left = (place // columns) * (height + _GAP), (place % columns) * (width + _GAP)
        canvas[top : top + height, left : left + width] = image
    return canvas


def image_grid(
    images: np.ndarray,
    columns: int,
    title: str,
    row_names: Sequence[str] = (),
    captions: Sequence[str] = (),
    inch_per_image: float = 0.62,
) -> Figure:
    """Draws images in rows.

    Args:
        images: `[number, height, width, 1 or 3]` in [0, 1].
        columns: Images a row.
        title: What is shown.
        row_names: A name at the left of each row, or none.
        captions: Words below each image, or none.
        inch_per_image: Width of one image.
    """
    number, height, width, _ = images.shape
    rows = -(-number // columns)
    longest = max([len(name) for name in row_names], default=0)
    left, top, bottom = 0.1 + 0.085 * longest, 0.38, 0.1
    below = 0.2 if captions else 0.04
    cell = inch_per_image * height / width + below
    size = (max(left + columns * inch_per_image + 0.1, 0.2 + 0.088 * len(title)), top + rows * cell)
    figure = Figure(figsize=(size[0], size[1] + bottom), dpi=120)
    FigureCanvasAgg(figure)
    total = figure.get_figheight()
    figure.text(0.08 / size[0], 1 - 0.24 / total, title, fontsize=10, weight="bold")
    for row in range(rows):
        part = images[row * columns : (row + 1) * columns]
        y = 1 - (top + (row + 1) * cell - below) / total
        axes = figure.add_axes(
            (left / size[0], y, len(part) * inch_per_image / size[0], (cell - below) / total)
        )
        axes.imshow(tile(part, len(part)), interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        if row_names:
            middle = y + (cell - below) / total / 2
            figure.text(
                (left - 0.08) / size[0], middle, row_names[row], ha="right", va="center", fontsize=9
            )
        for column, caption in enumerate(captions[row * columns : (row + 1) * columns]):
            x = (left + (column + 0.5) * inch_per_image) / size[0]
            figure.text(x, y - 0.03 / total, caption, ha="center", va="top", fontsize=7)
    return figure


def save_figure(figure: Figure, path: pathlib.Path) -> pathlib.Path:
    """Writes a PNG file, whole or not at all, and returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(path) as temporary:
        figure.savefig(temporary, format="png")
    return path
