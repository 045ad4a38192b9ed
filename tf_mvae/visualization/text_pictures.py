"""Pictures of what images say and of what texts show: an image and a sequence of few symbols."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tf_mvae.distributions.likelihoods import TokenSequence
from tf_mvae.modality import Modality
from tf_mvae.models import MultimodalVAE
from tf_mvae.ops.tokens import END
from tf_mvae.visualization.grids import image_grid

__all__ = ["spell", "text_figures"]

_LONGEST = 12


def spell(words: tuple[str, ...], tokens: np.ndarray) -> str:
    """Returns what a row of ids says, up to its end."""
    return "".join(words[token] for token in tokens[np.cumprod(tokens > END) > 0])


def text_figures(
    model: MultimodalVAE, image: Modality, batch: Any, seed: int = 0
) -> dict[str, Figure]:
    """Draws images with what is read off them, and images given texts.

    Args:
        model: The model.
        image: Its image modality.
        batch: `{name: [examples, ...]}`, some examples that have everything.
        seed: Of the samples.

    Returns:
        Figures by name: `TEXT_given_IMAGE` and `IMAGE_given_TEXT`, for each sequence whose
        symbols have words and are at most 12.
    """
    figures = {}
    for text in model.modalities:
        short = isinstance(text.likelihood, TokenSequence) and text.likelihood.length <= _LONGEST
        if not short or text.likelihood.words is None or model.conditions:
            continue
        words = text.likelihood.words
        true = [spell(words, row) for row in batch[text.name]]
        pixels = batch[image.name]
        said = model.generate({image.name: pixels}, 1, seed=seed)[text.name][0].numpy()
        captions = [
            f"{spell(words, row) or '-'} ({t or '-'})" for row, t in zip(said, true, strict=True)
        ]
        originals = pixels / 255 if pixels.dtype == np.uint8 else pixels
        figures[f"{text.name}_given_{image.name}"] = image_grid(
            originals, 5, f"{text.name} given {image.name} (the true one)", captions=captions
        )
        drawn = model.generate({text.name: batch[text.name]}, 8, seed=seed)[image.name].numpy()
        rows = drawn.swapaxes(0, 1).reshape(-1, *drawn.shape[2:])
        figures[f"{image.name}_given_{text.name}"] = image_grid(
            rows, 8, f"{image.name} given {text.name}", [t or "-" for t in true]
        )
    return figures
