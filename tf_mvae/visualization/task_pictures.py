"""Pictures of pictures from other pictures: what was given, what came out, what is true."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tf_mvae.data.tasks import Task, possible
from tf_mvae.modality import Modality
from tf_mvae.models import BaseVAE
from tf_mvae.visualization.grids import tile

__all__ = ["from_each_figure", "task_figure"]

_EXAMPLES = 6
_INCH = 0.68  # of one picture
_GAP = 0.16  # between blocks


class Block(NamedTuple):
    """Columns of pictures under one heading.

    Attributes:
        heading: Words above.
        columns: By what stands above each column, pictures `[row, height, width, channels]`;
            None where a row has nothing.
    """

    heading: str
    columns: Mapping[str, Sequence[np.ndarray | None]]


def task_figure(
    model: BaseVAE, tasks: Sequence[Task], batch: Mapping[str, Any], seed: int = 0
) -> Figure | None:
    """Draws every task that the model can do: rows are examples, a block of columns is a task.

    Generated is the expected picture at one sample of `q(z | given)`.

    Args:
        model: A trained model.
        tasks: The tasks.
        batch: Some test examples, `{"x": {name: [batch, ...]}, "mask": ...}`.
        seed: Of the samples.

    Returns:
        The figure, or None where no task is possible.
    """
    names = [modality.name for modality in model.modalities]
    tasks = [task for task in possible(tasks, names) if not model.conditions]
    blocks = []
    for task in tasks:
        parts = _generated(model, task.given, [task.target], batch, seed)
        heading = f"{task.name}\n{task.given} to {task.target}"
        columns = {"given": parts[task.given], **parts[task.target]}
        blocks.append(Block(heading, columns))
    return _figure("test examples", blocks) if blocks else None


def from_each_figure(
    model: BaseVAE,
    given: Modality,
    targets: Sequence[Modality],
    batch: Mapping[str, Any],
    seed: int = 0,
) -> Figure:
    """Draws all other pictures from one: rows are examples, a block of columns is a target.

    Args:
        model: A trained model.
        given: What is given.
        targets: What is asked for.
        batch: See `task_figure`.
        seed: Of the samples.
    """
    names = [target.name for target in targets if target is not given]
    parts = _generated(model, given.name, names, batch, seed)
    blocks = [Block("given", {given.name: parts[given.name]})]
    blocks += [Block(name, parts[name]) for name in names]
    return _figure(f"test examples: everything from {given.name} alone", blocks)


def _generated(
    model: BaseVAE, given: str, targets: Sequence[str], batch: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """Returns what is given, and of each target what was generated and what is true."""
    x, mask = ({n: np.asarray(v) for n, v in (batch.get(p) or {}).items()} for p in ("x", "mask"))
    number = len(x[given])
    chosen = np.unique(np.linspace(0, number - 1, min(_EXAMPLES, number)).astype(int))
    there = {n: mask.get(n, np.ones(number))[chosen] > 0 for n in (given, *targets)}
    rows = {n: _pixels(x[n][chosen]) for n in there}
    z = model.latent_samples({given: rows[given]}, 1, {given: there[given].astype("f4")}, seed)
    out = {name: value[0].numpy() for name, value in model.from_latent(z, None, targets).items()}

    def shown(name, pictures):
        return [p if has else None for p, has in zip(pictures, there[name], strict=True)]

    parts: dict[str, Any] = {given: shown(given, rows[given])}
    for name in targets:
        parts[name] = {"generated": list(out[name]), "true": shown(name, rows[name])}
    return parts


def _figure(title: str, blocks: Sequence[Block]) -> Figure:
    """Lays blocks out side by side, with words above them and above their columns."""
    rows = max(len(column) for block in blocks for column in block.columns.values())
    lines = max(block.heading.count("\n") + 1 for block in blocks)
    top, bottom, side = 0.32 + 0.17 * (lines + 1), 0.08, 0.1
    columns = sum(len(block.columns) for block in blocks)
    width = 2 * side + columns * _INCH + (len(blocks) - 1) * _GAP
    height = top + rows * _INCH + bottom
    figure = Figure(figsize=(width, height), dpi=120)
    FigureCanvasAgg(figure)
    figure.text(side / width, 1 - 0.2 / height, title, fontsize=10, weight="bold")
    left = side
    for block in blocks:
        across = len(block.columns) * _INCH
        middle, words = (left + across / 2) / width, 1 - (top - 0.2) / height
        figure.text(middle, words, block.heading, fontsize=7.5, ha="center", va="bottom")
        for place, name in enumerate(block.columns):
            x = (left + (place + 0.5) * _INCH) / width
            figure.text(x, 1 - (top - 0.04) / height, name, fontsize=6.5, ha="center")
        axes = figure.add_axes(
            (left / width, bottom / height, across / width, rows * _INCH / height)
        )
        axes.imshow(_tiled(list(block.columns.values())), interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        left += across + _GAP
    return figure


def _tiled(columns: Sequence[Sequence[np.ndarray | None]]) -> np.ndarray:
    size = next(p.shape[:2] for column in columns for p in column if p is not None)
    nothing = np.ones((*size, 3), np.float32)
    pictures = [
        nothing if picture is None else np.broadcast_to(picture, nothing.shape)
        for row in zip(*columns, strict=True)
        for picture in row
    ]
    return tile(np.stack(pictures), len(columns))


def _pixels(value: np.ndarray) -> np.ndarray:
    return (value / 255.0 if value.dtype == np.uint8 else value).astype(np.float32)
