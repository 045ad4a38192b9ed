"""FashionMNIST: an image and its label, with the paper's convolutional networks."""

from collections.abc import Mapping

import keras

from tf_mvae.data.pipeline import Split
from tf_mvae.data.prepared import image_and_label, prepared_builder
from tf_mvae.distributions import likelihoods
from tf_mvae.experiments.mnist import MNIST_SPLITS
from tf_mvae.experiments.registry import Experiment, named, register
from tf_mvae.layers import conv_decoder, conv_encoder, mlp_decoder, mlp_encoder
from tf_mvae.modality import Modality

__all__ = ["CLASS_NAMES"]

CLASS_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


def _modalities(
    likelihood_weight: Mapping[str, float], cross_weight: Mapping[str, float]
) -> list[Modality]:
    image = likelihoods.Bernoulli([28, 28, 1])
    label = likelihoods.Categorical(10, CLASS_NAMES)
    networks = {
        "image": (image, conv_encoder([64, 128], 512), conv_decoder([28, 28, 1], [128, 64], 512)),
        "label": (label, mlp_encoder([512, 512], num_classes=10), mlp_decoder([10])),
    }
    return [
        Modality(name, *parts, likelihood_weight.get(name, 1.0), cross_weight.get(name))
        for name, parts in networks.items()
    ]


def _joint_trunks() -> dict[str, keras.layers.Layer]:
    return {"image": conv_encoder([64, 128], 512), "label": mlp_encoder([512], num_classes=10)}


def _image_given_label() -> tuple[keras.layers.Layer, list[int]]:
    return conv_encoder([64, 128], units=None), [512]


def _load(split: str, data_dir: str | None) -> Split:
    return image_and_label(prepared_builder("fashion_mnist", data_dir), MNIST_SPLITS, split)


register(
    Experiment(
        name="fashion_mnist",
        description="FashionMNIST: image and label",
        load=_load,
        modalities=_modalities,
        names=named("image", "label"),
        joint_trunks=_joint_trunks,
        conditional_encoders={"image": _image_given_label},
        licence="FashionMNIST: copyright Zalando SE, under the MIT licence.",
    )
)
