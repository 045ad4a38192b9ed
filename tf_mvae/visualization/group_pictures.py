"""Figures of groups of attributes: images given attributes, and attributes given images."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tf_mvae.group import ModalityGroup, attribute_groups
from tf_mvae.modality import Modality
from tf_mvae.models import BaseVAE
from tf_mvae.visualization.grids import image_grid

__all__ = ["group_figures", "probable_attributes"]

_MOST_MEMBERS = 20
_EXAMPLES = 8


def group_figures(
    model: BaseVAE, image: Modality, x: Mapping[str, Any], seed: int = 0
) -> dict[str, Figure]:
    """Draws images given one attribute at a time, and probabilities of attributes given images.

    Args:
        model: A trained model.
        image: The image modality.
        x: Examples with the image, arrays by modality.
        seed: The seed of the samples.

    Returns:
        Figures by name: `IMAGE_given_GROUP` and `GROUP_given_IMAGE` for each group.
    """
    figures = {}
    for group in attribute_groups(model.targets):
        names = group.members[:_MOST_MEMBERS]
        # Row i: attribute i is given as present, and all others are missing.
        eye = np.eye(group.size, dtype=np.float32)[: len(names)]
        drawn = model.generate({group.name: eye}, 10, mask={group.name: eye}, seed=seed)
        images = drawn[image.name].numpy().swapaxes(0, 1).reshape(-1, *image.likelihood.event_shape)
        title = f"{image.name} given each of {group.name} alone"
        figures[f"{image.name}_given_{group.name}"] = image_grid(images, 10, title, list(names))
        figures[f"{group.name}_given_{image.name}"] = _bars(model, image, group, x, seed)
    return figures


def probable_attributes(
    model: BaseVAE, given: Mapping[str, Any], generated: Mapping[str, np.ndarray]
) -> list[tuple[str, str]]:
    """Returns the name of each group, and the probabilities of its attributes as text.

    Groups and members that were given are excluded.

    Args:
        model: The model.
        given: Given values by name of a modality or a member of a group.
        generated: Generated values by modality, `[num_samples, ...]`.
    """
    lines = []
    for group in attribute_groups(model.targets):
        if group.name in given:
            continue
        share = generated[group.name].mean(0)
        words = [
            f"{name} {share[place]:.1%}"
            for place, name in enumerate(group.members)
            if name not in given
        ]
        lines.append((group.name, ", ".join(words)))
    return lines


def _bars(
    model: BaseVAE, image: Modality, group: ModalityGroup, x: Mapping[str, Any], seed: int
) -> Figure:
    """Draws images above bars of the probabilities of attributes given each of them."""
    images = np.asarray(x[image.name])[:_EXAMPLES]
    share = model.generate({image.name: images}, 32, seed=seed)[group.name].numpy().mean(0)
    names = group.members[:_MOST_MEMBERS]
    size = (2.2 * len(images), 1.4 + 0.16 * len(names))
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    title = f"p({group.name} | {image.name}) of test examples; what they have in orange"
    figure.suptitle(title, fontsize=10, weight="bold")
    pictures = figure.subplots(
        2, len(images), squeeze=False, height_ratios=[1.3, 0.16 * len(names)]
    )
    scale = 255.0 if images.dtype == np.uint8 else 1.0
    for place, (top, bars) in enumerate(pictures.T):
        shown = np.clip(images[place] / scale, 0, 1)
        top.imshow(np.broadcast_to(shown, (*shown.shape[:2], 3)))
        top.set_axis_off()
        has = np.asarray(x[group.name])[place] if group.name in x else np.zeros(group.size)
        colours = ["tab:orange" if has[i] else "tab:blue" for i in range(len(names))]
        bars.barh(range(len(names)), share[place][: len(names)], color=colours)
        bars.set_yticks(range(len(names)), names if place == 0 else [], fontsize=6)
        bars.set_xlim(0, 1)
        bars.set_xticks([0, 1], ["0", "1"], fontsize=6)
        bars.invert_yaxis()
        bars.spines[["top", "right"]].set_visible(False)
    return figure
