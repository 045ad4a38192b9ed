"""Figures of image-to-image tasks: given, generated and true pictures next to each other."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tf_mvae.data.tasks import Task, possible
from tf_mvae.modality import Modality
from tf_mvae.models import BaseVAE
from tf_mvae.visualization.grids import tile

__all__ = ["from_each_figure", "sampled_figure", "task_figure"]

_EXAMPLES = 6
_SAMPLES = 5
_INCH = 0.68  # the size of one picture
_GAP = 0.16  # inches between blocks


class Block(NamedTuple):
    """Columns of pictures under one heading.

    Attributes:
        heading: The heading.
        columns: By the title of each column, pictures `[height, width, channels]` of all rows; None
            for an empty place.
    """

    heading: str
    columns: Mapping[str, Sequence[np.ndarray | None]]


def task_figure(
    model: BaseVAE, tasks: Sequence[Task], batch: Mapping[str, Any], seed: int = 0
) -> Figure | None:
    """Draws the tasks that the model supports: one row per example, one block of columns per task.

    A generated picture is the expected picture at one sample of `q(z | given)`.

    Args:
        model: A trained model.
        tasks: The tasks.
        batch: Some test examples, `{"x": {name: [batch, ...]}, "mask": ...}`.
        seed: The seed of the samples.

    Returns:
        The figure, or None if the model supports no task.
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


def sampled_figure(
    model: BaseVAE, tasks: Sequence[Task], batch: Mapping[str, Any], seed: int = 0
) -> tuple[str, Figure] | None:
    """Draws several samples of the first task with a target that is not binary, such as colours.

    A row is an example: the given picture, the expected pictures at five samples of `p(z | given)`,
    and the true picture.

    Args:
        model: A trained model.
        tasks: The tasks.
        batch: See `task_figure`.
        seed: The seed of the samples.

    Returns:
        The task's name and the figure, or None if the model supports no such task.
    """
    names = [modality.name for modality in model.modalities]
    tasks = [task for task in possible(tasks, names) if not (model.conditions or task.binary)]
    if not tasks:
        return None
    task = tasks[0]
    parts = _generated(model, task.given, [task.target], batch, seed, _SAMPLES)
    samples = {f"sample {i + 1}": parts[task.target][f"generated {i}"] for i in range(_SAMPLES)}
    columns = {"given": parts[task.given], **samples, "true": parts[task.target]["true"]}
    heading = f"{task.name}: {task.target} sampled given {task.given}"
    return task.name, _figure("test examples", [Block(heading, columns)])


def from_each_figure(
    model: BaseVAE,
    given: Modality,
    targets: Sequence[Modality],
    batch: Mapping[str, Any],
    seed: int = 0,
) -> Figure:
    """Draws all images generated from one: one row per example, one block of columns per target.

    Args:
        model: A trained model.
        given: The given modality.
        targets: The modalities to generate; `given` is excluded.
        batch: See `task_figure`.
        seed: The seed of the samples.
    """
    names = [target.name for target in targets if target is not given]
    parts = _generated(model, given.name, names, batch, seed)
    blocks = [Block("given", {given.name: parts[given.name]})]
    blocks += [Block(name, parts[name]) for name in names]
    return _figure(f"test examples: everything from {given.name} alone", blocks)


def _generated(
    model: BaseVAE,
    given: str,
    targets: Sequence[str],
    batch: Mapping[str, Any],
    seed: int,
    number_of_samples: int = 1,
) -> dict[str, Any]:
    """Returns the given pictures under its name, and under each target's name columns of pictures.

    These are `generated` (for several samples `generated 0`, ...) and `true`.
    """
    x, mask = ({n: np.asarray(v) for n, v in (batch.get(p) or {}).items()} for p in ("x", "mask"))
    number = len(x[given])
    chosen = np.unique(np.linspace(0, number - 1, min(_EXAMPLES, number)).astype(int))
    there = {n: mask.get(n, np.ones(number))[chosen] > 0 for n in (given, *targets)}
    rows = {n: _pixels(x[n][chosen]) for n in there}
    mask = {given: there[given].astype("f4")}
    z = model.latent_samples({given: rows[given]}, number_of_samples, mask, seed)
    out = {name: value.numpy() for name, value in model.from_latent(z, None, targets).items()}
    words = [f"generated {i}" for i in range(number_of_samples)]
    words = words if number_of_samples > 1 else ["generated"]

    def shown(name, pictures):
        return [p if has else None for p, has in zip(pictures, there[name], strict=True)]

    parts: dict[str, Any] = {given: shown(given, rows[given])}
    for name in targets:
        made = {word: list(pictures) for word, pictures in zip(words, out[name], strict=True)}
        parts[name] = {**made, "true": shown(name, rows[name])}
    return parts


def _figure(title: str, blocks: Sequence[Block]) -> Figure:
    """Draws blocks next to each other, with headings above blocks and titles above columns."""
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
    """Returns columns of pictures as one picture; empty places are white."""
    size = next(p.shape[:2] for column in columns for p in column if p is not None)
    nothing = np.ones((*size, 3), np.float32)
    pictures = [
        nothing if picture is None else np.broadcast_to(picture, nothing.shape)
        for row in zip(*columns, strict=True)
        for picture in row
    ]
    return tile(np.stack(pictures), len(columns))


def _pixels(value: np.ndarray) -> np.ndarray:
    """Returns pictures in [0, 1], from uint8 or floating-point ones."""
    return (value / 255.0 if value.dtype == np.uint8 else value).astype(np.float32)
