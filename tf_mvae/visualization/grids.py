"""Grids of images with row names and captions."""

import pathlib
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tf_mvae import files

__all__ = ["image_grid", "save_figure", "tile"]

_GAP = 2  # pixels between images


def tile(images: np.ndarray, columns: int, background: float = 1.0) -> np.ndarray:
    """Arranges images in rows, as one picture.

    Args:
        images: `[number, height, width, 1 or 3]`; values are clipped to [0, 1].
        columns: Images per row.
        background: The grey level between images, and in empty places.

    Returns:
        The picture, `[rows * (height + 2) - 2, columns * (width + 2) - 2, 3]`.
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
    """Draws a grid of images with a title.

    Args:
        images: `[number, height, width, 1 or 3]`; values are clipped to [0, 1].
        columns: Images per row.
        title: The title above the grid.
        row_names: A name for each row, on its left; default: none.
        captions: A caption for each image, below it; default: none.
        inch_per_image: The width of one image, in inches.

    Returns:
        A Matplotlib figure.

    Example:

    ```python
    image_grid(np.zeros([6, 28, 28, 1]), columns=3, title="black").savefig("grid.png")
    ```
    """
    number, height, width, _ = images.shape
    rows = -(-number // columns)
    # The layout in inches: a margin for row names, one for the title, and cells of image and
    # caption.
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
    """Writes a figure as a PNG file, atomically, and creates its folder.

    Args:
        figure: The figure.
        path: The PNG file to write.

    Returns:
        The path.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(path) as temporary:
        figure.savefig(temporary, format="png")
    return path
