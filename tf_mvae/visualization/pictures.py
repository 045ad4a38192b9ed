"""The figures of a trained model: samples, reconstructions, each modality from each other one."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tf_mvae.data.tasks import Task
from tf_mvae.modality import Modality
from tf_mvae.models import BaseVAE
from tf_mvae.visualization.grids import image_grid, save_figure
from tf_mvae.visualization.group_pictures import group_figures, probable_attributes
from tf_mvae.visualization.task_pictures import from_each_figure, sampled_figure, task_figure
from tf_mvae.visualization.text_pictures import short_texts, text_figures

__all__ = ["condition_figure", "most_probable", "write_pictures"]

_MOST_CLASSES = 20
_MOST_PAIRS = 30
_MOST_IMAGES = 3
_MOST_COLUMNS = 12


def write_pictures(
    model: BaseVAE,
    batch: Mapping[str, Any],
    directory: pathlib.Path,
    seed: int = 0,
    tasks: Sequence[Task] = (),
) -> list[pathlib.Path]:
    """Writes the figures of a trained model as PNG files.

    - `samples.png`: samples from the prior, sorted by the generated class;
    - `reconstructions.png`: test images and their reconstructions;
    - `B_given_A.png` for each pair of modalities that can be drawn (images, classes, groups of
      attributes, short texts; at most 30 pairs, images as targets first);
    - `from_A.png`, if there are more than three images of one size: all others generated from A,
      instead of pairs;
    - `tasks.png`: the tasks of the experiment, and `sampled_TASK.png`: several samples of the
      first.

    Modalities that are missing in all examples are not drawn.

    Args:
        model: A trained model.
        batch: Some test examples, `{"x": {name: [batch, ...]}, "mask": ...}`.
        directory: The directory to write to.
        seed: The seed of the samples.
        tasks: Tasks, one image from another; those that the model supports are drawn.

    Returns:
        The files' paths.
    """
    directory = pathlib.Path(directory)
    masks = batch.get("mask") or {}
    seen = [m for m in model.modalities if np.any(np.asarray(masks.get(m.name, 1)) > 0)]
    drawable = [m for m in seen if m.likelihood.is_image]
    images = [m for m in drawable if m in model.targets]
    drawable += [m for m in seen if m.likelihood.is_categorical]
    classes = [m for m in drawable if m in model.targets and m not in images]
    figures = {}
    if images:
        if not model.conditions:
            figures["samples"] = _samples(model, images[0], classes[:1], seed)
        figures["reconstructions"] = _reconstructions(model, images[0], batch, seed)
        figures |= group_figures(model, images[0], _rows(batch, [images[0].name], 10)[0], seed)
        for text in short_texts(model):
            rows, _ = _rows(batch, [images[0].name, text.name], 10)
            if len(rows[text.name]):
                figures |= text_figures(model, images[0], text, rows, seed)
    tasks_done = task_figure(model, tasks, batch, seed)
    if tasks_done is not None:
        figures["tasks"] = tasks_done
    sampled = sampled_figure(model, tasks, batch, seed)
    if sampled is not None:
        figures[f"sampled_{sampled[0].replace(' ', '_')}"] = sampled[1]
    together = _alike(images) if not model.conditions else []
    for given in together:
        figures[f"from_{given.name}"] = from_each_figure(model, given, images, batch, seed)
    pairs = [
        (g, t)
        for t in images + classes
        for g in drawable
        if g is not t and set(model.conditions) <= {g.name} and not {g, t} <= {*together}
    ]
    for given, target in pairs[:_MOST_PAIRS]:
        figure = _given(model, given, target, batch, seed)
        if figure is not None:
            figures[f"{target.name}_given_{given.name}"] = figure
    return [save_figure(figure, directory / f"{name}.png") for name, figure in figures.items()]


def _alike(images: list[Modality]) -> list[Modality]:
    """Returns the images if there are too many to draw pairs, and all have the same size."""
    sizes = {modality.likelihood.event_shape[:2] for modality in images}
    return images if len(images) > _MOST_IMAGES and len(sizes) == 1 else []


def condition_figure(
    model: BaseVAE,
    given: Mapping[str, Any],
    num_samples: int,
    title: str,
    seed: int = 0,
    temperature: float = 1.0,
) -> tuple[Figure | None, dict[str, np.ndarray]]:
    """Draws samples of the first image modality given modalities of one example, or from the prior.

    With more than three images of one size, all of them are drawn, one row each: first the given
    ones, then samples of the others.

    Args:
        model: A trained model.
        given: Given modalities by name, `[1, ...]`; empty: samples from the prior.
        num_samples: The number of samples.
        title: The figure's title.
        seed: The seed of the samples.
        temperature: A factor on the standard deviation of the latent.

    Returns:
        The figure (None if no modality is an image), and generated values by modality,
        `[num_samples, ...]`.

    Example:
    ```python
    figure, generated = condition_figure(model, {"label": np.array([7])}, 4, "label 7")
    generated["image"].shape  # (4, 28, 28, 1)
    ```
    """
    if given:
        generated = model.generate(given, num_samples, seed=seed, temperature=temperature)
        generated = {name: value[:, 0].numpy() for name, value in generated.items()}
    else:
        generated = model.sample(num_samples, seed=seed, temperature=temperature)
        generated = {name: value.numpy() for name, value in generated.items()}
    images = [m for m in model.targets if m.likelihood.is_image]
    targets = [m.name for m in images if m.name not in given] or [m.name for m in images]
    if not targets:
        return None, generated
    if _alike(images):
        shown = [m.name for m in images if m.name in given]
        rows = {f"given {name}": _as_images(np.asarray(given[name])) for name in shown}
        rows |= {name: generated[name] for name in targets}
        return _rows_of_samples(rows, min(num_samples, _MOST_COLUMNS), title), generated
    columns = max(1, min(num_samples, round(num_samples**0.5)))
    columns = max(columns, min(num_samples, 8))
    return image_grid(generated[targets[0]], columns, title), generated


def _rows_of_samples(rows: Mapping[str, np.ndarray], columns: int, title: str) -> Figure:
    """Draws one named row of pictures per entry; shorter rows are filled with white pictures."""
    filled = []
    for pictures in rows.values():
        pictures = pictures[:columns]
        blank = np.ones((columns - len(pictures), *pictures.shape[1:3], 3), np.float32)
        filled += [np.broadcast_to(pictures, (*pictures.shape[:3], 3)), blank]
    return image_grid(np.concatenate(filled), columns, title, list(rows))


def most_probable(
    model: BaseVAE, given: Mapping[str, Any], generated: Mapping[str, np.ndarray]
) -> list[tuple[str, str]]:
    """Returns the most probable classes and the probabilities of attributes, as text.

    Args:
        model: The model.
        given: Given modalities by name, which are excluded.
        generated: The generated values of `condition_figure`.

    Returns:
        The name of each class modality with its three most probable classes and their
        probabilities, averaged over samples; and the name of each group of attributes with the
        probabilities of its members.

    Example:
    ```python
    _, generated = condition_figure(model, {}, 4, "samples from the prior")
    most_probable(model, {}, generated)  # [("label", "3 12.0%, 8 11.1%, 5 10.9%")]
    ```
    """
    found = []
    for modality in model.targets:
        if modality.likelihood.is_categorical and modality.name not in given:
            probabilities = generated[modality.name].mean(0)
            best = np.argsort(-probabilities)[:3]
            names = modality.likelihood.class_names
            words = [f"{names[place]} {probabilities[place]:.1%}" for place in best]
            found.append((modality.name, ", ".join(words)))
    return found + probable_attributes(model, given, generated)


def _samples(model: BaseVAE, image: Modality, classes: list[Modality], seed: int) -> Figure:
    """Draws samples from the prior, sorted by the generated class if there is one."""
    drawn = model.sample(64, seed=seed)
    images, captions, title = drawn[image.name].numpy(), [], "samples from the prior"
    for label in classes:
        best = drawn[label.name].numpy().argmax(-1)
        order = np.argsort(best, kind="stable")
        images = images[order]
        captions = [label.likelihood.class_names[index] for index in best[order]]
        title += f", sorted by the most probable {label.name}"
    return image_grid(images, 8, title, captions=captions)


def _reconstructions(model: BaseVAE, image: Modality, batch: Any, seed: int) -> Figure:
    """Draws test images, and their reconstructions from all modalities and from the image alone."""
    x, mask = _rows(batch, [image.name], 10)
    original = _as_images(x[image.name])
    everything = model.generate(x, 1, mask, seed=seed)[image.name][0].numpy()
    rows = {"original": original, "from everything": everything}
    if len(model.modalities) > 1 and not model.conditions:
        alone = model.generate({image.name: x[image.name]}, 1, seed=seed)[image.name][0].numpy()
        rows[f"from {image.name} alone"] = alone
    stacked = np.concatenate(list(rows.values()))
    return image_grid(stacked, len(original), "reconstructions of test examples", list(rows))


def _given(
    model: BaseVAE, given: Modality, target: Modality, batch: Any, seed: int
) -> Figure | None:
    """Draws one modality given another; None if neither is an image."""
    if not target.likelihood.is_image:
        return (
            _classes_given(model, given, target, batch, seed) if given.likelihood.is_image else None
        )
    title = f"{target.name} given {given.name}"
    if given.likelihood.is_categorical:
        names = given.likelihood.class_names[:_MOST_CLASSES]
        drawn = model.generate({given.name: np.arange(len(names))}, 10, seed=seed)[target.name]
        images = drawn.numpy().swapaxes(0, 1).reshape(-1, *target.likelihood.event_shape)
        return image_grid(images, 10, title, list(names))
    x, _ = _rows(batch, [given.name], 8)
    originals = _as_images(x[given.name])
    drawn = model.generate({given.name: x[given.name]}, 8, seed=seed)[target.name].numpy()
    if originals.shape[1:3] != drawn.shape[2:4]:
        images = drawn.swapaxes(0, 1).reshape(-1, *drawn.shape[2:])
        return image_grid(images, 8, f"{title} (a row for each given one)")
    rgb = [np.broadcast_to(part, (*part.shape[:-1], 3)) for part in (originals, drawn)]
    images = np.concatenate([rgb[0][:, np.newaxis], rgb[1].swapaxes(0, 1)], 1)
    title = f"{title} (the given one, then samples)"
    return image_grid(images.reshape(-1, *images.shape[2:]), 9, title)


def _classes_given(
    model: BaseVAE, given: Modality, target: Modality, batch: Any, seed: int
) -> Figure:
    """Draws test images, each with the probabilities of the classes given it."""
    x, mask = _rows(batch, [given.name], 12)
    images = _as_images(x[given.name])
    drawn = model.generate({given.name: x[given.name]}, 32, seed=seed)[target.name]
    probabilities = drawn.numpy().mean(0)
    names = target.likelihood.class_names
    columns, rows = 4, -(-len(images) // 4)
    figure = Figure(figsize=(2.5 * columns, 0.5 + 1.5 * rows), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(
        f"p({target.name} | {given.name}) of test examples; the true {target.name} in orange",
        fontsize=10,
        weight="bold",
    )
    axes = figure.subplots(rows, 2 * columns, squeeze=False).reshape(-1, 2)
    for pair in axes[len(images) :]:
        for panel in pair:
            panel.set_axis_off()
    there = np.asarray(mask.get(target.name, np.ones(len(images)))) > 0
    for index, (picture, bars) in enumerate(axes[: len(images)]):
        image = images[index]
        picture.imshow(np.broadcast_to(image, (*image.shape[:2], 3)))
        picture.set_axis_off()
        order = np.sort(np.argsort(-probabilities[index])[:10])
        true = int(x[target.name][index]) if target.name in x and there[index] else -1
        colours = ["tab:orange" if place == true else "tab:blue" for place in order]
        bars.barh(range(len(order)), probabilities[index][order], color=colours)
        bars.set_yticks(range(len(order)), [names[place] for place in order], fontsize=6)
        bars.set_xlim(0, 1)
        bars.set_xticks([0, 1], ["0", "1"], fontsize=6)
        bars.invert_yaxis()
        bars.spines[["top", "right"]].set_visible(False)
    return figure


def _rows(batch: Any, needed: list[str], number: int) -> tuple[dict, dict]:
    """Returns values and masks of the first examples with all needed modalities observed."""
    x = {name: np.asarray(value) for name, value in batch["x"].items()}
    mask = {name: np.asarray(value) for name, value in (batch.get("mask") or {}).items()}
    there = np.ones(len(next(iter(x.values()))), bool)
    for name in needed:
        there &= np.asarray(mask.get(name, there)) > 0
    chosen = np.flatnonzero(there)[:number]
    return {k: v[chosen] for k, v in x.items()}, {k: v[chosen] for k, v in mask.items()}


def _as_images(value: np.ndarray) -> np.ndarray:
    """Returns images in [0, 1], from uint8 or floating-point ones."""
    return value / 255.0 if value.dtype == np.uint8 else value.astype(np.float32)
