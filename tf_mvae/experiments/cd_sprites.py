"""Drawn shapes and captions that name one to five of their attributes."""

from collections.abc import Iterable, Mapping
from typing import Any

import keras

from tf_mvae.data.cd_sprites import SIZE, WORDS, CaptionWords, caption_length, cd_sprites
from tf_mvae.data.pipeline import Split
from tf_mvae.distributions import likelihoods
from tf_mvae.experiments.registry import Experiment, register
from tf_mvae.layers import (
    MaskedSequential,
    RecurrentDecoder,
    RecurrentEncoder,
    conv_decoder,
    conv_encoder,
)
from tf_mvae.modality import Modality
from tf_mvae.settings import Setting

__all__ = ["cd_sprites_modalities"]

_UNITS = 64  # of the captions' recurrent networks


def cd_sprites_modalities(
    likelihood_weight: Mapping[str, float], cross_weight: Mapping[str, float], level: int
) -> list[Modality]:
    """Returns a 64 x 64 image in colour and a caption.

    Image: convolutions of 16-32-64 filters (kernel 4, stride 2), dense 256, and back; Bernoulli.
    Caption: embedding and bidirectional GRU of 64, and a GRU of 64 back.

    Args:
        likelihood_weight: Weights by name.
        cross_weight: The same.
        level: The number of attributes that a caption names.
    """
    number, shape = len(WORDS), [SIZE, SIZE, 3]
    decoder = RecurrentDecoder(number, units=_UNITS, num_layers=1)
    spaced = [f"\u2581{word}" for word in WORDS]  # `TokenSequence.text` writes a space for it
    text = likelihoods.TokenSequence(
        number, caption_length(level), decoder, context_size=_UNITS, words=spaced
    )
    context = MaskedSequential([keras.layers.Dense(*text.parameter_shape)])
    networks = {
        "image": (
            likelihoods.Bernoulli(shape),
            conv_encoder([16, 32, 64], 256),
            conv_decoder(shape, [64, 32, 16], 256),
        ),
        "caption": (text, RecurrentEncoder(number, units=_UNITS), context),
    }
    return [
        Modality(name, *parts, likelihood_weight.get(name, 1.0), cross_weight.get(name))
        for name, parts in networks.items()
    ]


def _load(split: str, data_dir: str | None, level: int) -> Split:
    return cd_sprites(split, level)


def _tokenizers(_: str | None, names: Iterable[str]) -> dict[str, Any]:
    return {name: CaptionWords() for name in names if name == "caption"}


register(
    Experiment(
        name="cd_sprites",
        analyses=("generation", "transcription"),
        description="drawn shapes and captions of one to five attributes, --level",
        load=_load,
        modalities=cd_sprites_modalities,
        tokenizers=_tokenizers,
        licence="Synthetic data of this package.",
        settings=(
            Setting(
                "level",
                3,
                "How many attributes a caption names: shape, size, colour, position, background.",
                choices=(1, 2, 3, 4, 5),
            ),
        ),
    )
)
