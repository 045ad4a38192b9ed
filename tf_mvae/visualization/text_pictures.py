"""Figures of images and short texts: texts given images, and images given texts."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tf_mvae.modality import Modality
from tf_mvae.models import BaseVAE
from tf_mvae.visualization.grids import image_grid

__all__ = ["short_texts", "text_figures"]

_LONGEST = 12


def short_texts(model: BaseVAE) -> list[Modality]:
    """Returns the sequences that fit below a picture: at most 12 symbols, with known words.

    Args:
        model: The model; one with conditions has no short text.
    """
    return [
        m
        for m in model.modalities
        if m.likelihood.is_sequence
        and m.likelihood.length <= _LONGEST
        and m.likelihood.words is not None
        and not model.conditions
    ]


def text_figures(
    model: BaseVAE, image: Modality, text: Modality, batch: Any, seed: int = 0
) -> dict[str, Figure]:
    """Draws images with the text that is predicted from them, and images given texts.

    Args:
        model: The model.
        image: The image modality.
        text: One of `short_texts`.
        batch: Examples with both modalities observed, `{name: [examples, ...]}`.
        seed: The seed of the samples.

    Returns:
        Figures by name: `TEXT_given_IMAGE` and `IMAGE_given_TEXT`.
    """
    pixels = batch[image.name]
    said = model.generate({image.name: pixels}, 1, seed=seed)[text.name][0]
    said, true = (
        [words or "-" for words in text.likelihood.text(ids)] for ids in (said, batch[text.name])
    )
    captions = [f"{mine} ({right})" for mine, right in zip(said, true, strict=True)]
    originals = pixels / 255 if pixels.dtype == np.uint8 else pixels
    drawn = model.generate({text.name: batch[text.name]}, 8, seed=seed)[image.name].numpy()
    rows = drawn.swapaxes(0, 1).reshape(-1, *drawn.shape[2:])
    return {
        f"{text.name}_given_{image.name}": image_grid(
            originals, 5, f"{text.name} given {image.name} (the true one)", captions=captions
        ),
        f"{image.name}_given_{text.name}": image_grid(
            rows, 8, f"{image.name} given {text.name}", true
        ),
    }
