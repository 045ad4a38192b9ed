"""Two images of one class: a digit and a garment, a digit and a house number."""

from collections.abc import Mapping, Sequence

import numpy as np

from tf_mvae import checks
from tf_mvae.data.class_pairs import image_pairs, pair_labels
from tf_mvae.data.pipeline import Split
from tf_mvae.distributions import likelihoods
from tf_mvae.experiments.mnist import MNIST_LICENCE, MNIST_SPLITS
from tf_mvae.experiments.registry import Experiment, register
from tf_mvae.layers import conv_decoder, conv_encoder
from tf_mvae.modality import Modality
from tf_mvae.settings import Setting

__all__ = ["pair_modalities"]

Weights = Mapping[str, float]

_DIGITS = ("mnist", MNIST_SPLITS)
_MNIST_FASHION = {"digit": _DIGITS, "garment": ("fashion_mnist", MNIST_SPLITS)}
# The last 10 % of SVHN's training images are for validation.
_SVHN = {"train": "train[:90%]", "validation": "train[90%:]", "test": "test"}
_MNIST_SVHN = {"digit": _DIGITS, "house_number": ("svhn_cropped", _SVHN)}
_PAIRINGS = Setting(
    "pairings",
    30,  # as published
    "How many pairs each training image is in; 1 with --missing_rate, --paired_fraction and "
    "--paired_examples, since an image that is hidden in one pair would be seen in others.",
    checks.positive_integer,
)


def pair_modalities(
    shapes: Mapping[str, Sequence[int]], likelihood_weight: Weights, cross_weight: Weights
) -> list[Modality]:
    """Returns images with small convolutional networks (32 and 64 filters, dense 256; Swish).

    Grey images have a Bernoulli likelihood, images in colour a Laplace distribution with a scale
    of 0.75.

    Args:
        shapes: By modality, `[height, width, channels]`; sides are multiples of 4.
        likelihood_weight: Weights by name.
        cross_weight: The same.
    """
    modalities = []
    for name, shape in shapes.items():
        likelihood = likelihoods.Bernoulli(shape)
        if shape[-1] > 1:
            likelihood = likelihoods.Laplace(shape, 0.75)
        networks = conv_encoder([32, 64], 256), conv_decoder(shape, [64, 32], 256)
        weights = likelihood_weight.get(name, 1.0), cross_weight.get(name)
        modalities.append(Modality(name, likelihood, *networks, *weights))
    return modalities


def _mnist_fashion(likelihood_weight: Weights, cross_weight: Weights) -> list[Modality]:
    shapes = {"digit": [28, 28, 1], "garment": [28, 28, 1]}
    return pair_modalities(shapes, likelihood_weight, cross_weight)


def _mnist_svhn(
    likelihood_weight: Weights, cross_weight: Weights, pairings: int = _PAIRINGS.default
) -> list[Modality]:
    shapes = {"digit": [28, 28, 1], "house_number": [32, 32, 3]}
    return pair_modalities(shapes, likelihood_weight, cross_weight)


def _load_svhn(split: str, data_dir: str | None, pairings: int = _PAIRINGS.default) -> Split:
    return image_pairs(split, data_dir, _MNIST_SVHN, pairings)


def _labels_svhn(split: str, data_dir: str | None, pairings: int = _PAIRINGS.default) -> np.ndarray:
    return pair_labels(split, data_dir, _MNIST_SVHN, pairings)


register(
    Experiment(
        name="mnist_fashion",
        analyses=("generation", "latent"),
        description="a digit of MNIST and a garment of Fashion-MNIST, paired by class",
        load=lambda split, data_dir: image_pairs(split, data_dir, _MNIST_FASHION),
        labels=lambda split, data_dir: pair_labels(split, data_dir, _MNIST_FASHION),
        class_names=tuple("0123456789"),
        modalities=_mnist_fashion,
        licence=MNIST_LICENCE + " Fashion-MNIST: MIT.",
    )
)
register(
    Experiment(
        name="mnist_svhn",
        analyses=("generation", "latent"),
        description="a digit of MNIST and one of SVHN, paired by class",
        load=_load_svhn,
        labels=_labels_svhn,
        class_names=tuple("0123456789"),
        modalities=_mnist_svhn,
        licence=MNIST_LICENCE + " SVHN: non-commercial use only.",
        settings=(_PAIRINGS,),
    )
)
