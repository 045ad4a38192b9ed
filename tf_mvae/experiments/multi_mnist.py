"""MultiMNIST: a canvas of up to four digits, and the string that they spell."""

from collections.abc import Iterable

import keras

from tf_mvae.data.multi_mnist import MOST_DIGITS, WORDS, DigitString, multi_mnist
from tf_mvae.distributions import likelihoods
from tf_mvae.experiments.mnist import MNIST_LICENCE
from tf_mvae.experiments.registry import Experiment, named, register
from tf_mvae.layers import MaskedSequential, RecurrentDecoder, RecurrentEncoder
from tf_mvae.layers.celeba import batch_norm, image_encoder
from tf_mvae.layers.transposed import ImageConv2DTranspose
from tf_mvae.modality import Modality

__all__ = ["multi_mnist_modalities"]


def multi_mnist_modalities(
    likelihood_weight: dict[str, float], cross_weight: dict[str, float]
) -> list[Modality]:
    """Returns a 50 x 50 image and a string (Wu and Goodman, NeurIPS 2018, MultiMNIST).

    Image: convolutions of 32-64-128-256 (kernel 4, stride 2, padding 1, none in the last),
    fc 512 and dropout of 0.1, and back; text: embed 200 and a bidirectional GRU of 200, its
    two outputs added up, and two layers of GRU of 200 back.
    """
    number = len(WORDS)
    text = likelihoods.TokenSequence(number, MOST_DIGITS + 1, RecurrentDecoder(number), words=WORDS)
    image = likelihoods.Bernoulli([50, 50, 1])
    context = MaskedSequential([keras.layers.Dense(*text.parameter_shape)])
    networks = {
        "image": (image, image_encoder(last_stride=2), _image_decoder()),
        "text": (text, RecurrentEncoder(number), context),
    }
    return [
        Modality(name, *parts, likelihood_weight.get(name, 1.0), cross_weight.get(name))
        for name, parts in networks.items()
    ]


def _image_decoder() -> MaskedSequential:
    """Returns the encoder's mirror image: fc 1024, transposed convolutions of 128-64-32-1.

    From 2 x 2 to 6, 12, 25 and 50; batch normalisation after all but the last.
    """
    layers = [keras.layers.Dense(1024, "silu"), keras.layers.Reshape((2, 2, 256))]
    # Filters, kernel, and what PyTorch calls padding: as much is cut off at each side.
    for filters, kernel, cut in ((128, 4, 0), (64, 4, 1), (32, 5, 1), (1, 4, 1)):
        layers += [
            ImageConv2DTranspose(filters, kernel, strides=2, use_bias=False),
            *[keras.layers.Cropping2D(cut)] * bool(cut),
            *[batch_norm(), keras.layers.Activation("silu")] * (filters > 1),
        ]
    return MaskedSequential(layers)


def _joint_trunks() -> dict[str, keras.layers.Layer]:
    return {"image": image_encoder(last_stride=2), "text": RecurrentEncoder(len(WORDS))}


def _tokenizers(_: str | None, names: Iterable[str]) -> dict[str, DigitString]:
    return {name: DigitString() for name in names if name == "text"}


register(
    Experiment(
        name="multi_mnist",
        analyses=("transcription",),
        description="MultiMNIST: canvas of up to four digits and the string of them",
        load=multi_mnist,
        modalities=multi_mnist_modalities,
        names=named("image", "text"),
        joint_trunks=_joint_trunks,
        tokenizers=_tokenizers,
        licence=MNIST_LICENCE,
    )
)
