"""PolyMNIST: five images in colour that show the same digit."""

from collections.abc import Mapping
from typing import Any

import keras

from tf_mvae import checks
from tf_mvae.data.poly_mnist import NAMES, find_hash, poly_mnist, poly_mnist_labels
from tf_mvae.distributions import likelihoods
from tf_mvae.experiments.mnist import MNIST_LICENCE
from tf_mvae.experiments.registry import Experiment, register
from tf_mvae.layers import conv_decoder, conv_encoder
from tf_mvae.modality import Modality
from tf_mvae.settings import Setting

__all__ = ["poly_mnist_modalities"]

_SHAPE = (28, 28, 3)
_SCALE = 0.75  # of the Laplace likelihood, as published


def poly_mnist_modalities(
    likelihood_weight: Mapping[str, float],
    cross_weight: Mapping[str, float],
    filters: int = 32,
    **_: Any,
) -> list[Modality]:
    """Returns five 28 x 28 images in colour (Sutter, Daunhawer and Vogt, ICLR 2021, PolyMNIST).

    The likelihood is a Laplace distribution with a scale of 0.75, as published. The networks are
    smaller than published ones: two convolutions (kernel 4, stride 2) of `filters` and twice as
    many filters and a dense layer of eight times as many units, and back; Swish.

    Args:
        likelihood_weight: Weights by name.
        cross_weight: The same.
        filters: Filters of an encoder's first convolution.
        **_: The settings of the data and of joint networks.
    """
    return [
        Modality(
            name,
            likelihoods.Laplace(_SHAPE, _SCALE),
            _encoder(filters),
            conv_decoder(_SHAPE, [2 * filters, filters], 8 * filters),
            likelihood_weight.get(name, 1.0),
            cross_weight.get(name),
        )
        for name in NAMES
    ]


def _encoder(filters: int) -> keras.layers.Layer:
    return conv_encoder([filters, 2 * filters], 8 * filters)


def _joint_trunks(joint_filters: int) -> dict[str, keras.layers.Layer]:
    return {name: _encoder(joint_filters) for name in NAMES}


def _data_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    networks = ("filters", "joint_filters")
    return {name: value for name, value in options.items() if name not in networks}


def _load(split: str, data_dir: str | None, **options: Any):
    return poly_mnist(split, data_dir, **_data_settings(options))


def _labels(split: str, data_dir: str | None, **options: Any):
    return poly_mnist_labels(split, data_dir, **_data_settings(options))


def _resolve(
    data_dir: str | None, backgrounds: str | None, background_hash: str | None, **_: Any
) -> dict[str, str]:
    """Records the hash of the backgrounds, so that the run never uses others."""
    return {"background_hash": background_hash or find_hash(backgrounds)}


register(
    Experiment(
        name="poly_mnist",
        analyses=("generation", "latent"),
        description="PolyMNIST: five drawings of one digit on five backgrounds",
        load=_load,
        modalities=poly_mnist_modalities,
        joint_trunks=_joint_trunks,
        licence=MNIST_LICENCE + " The backgrounds of a folder have licences of their own.",
        settings=(
            Setting(
                "backgrounds",
                None,
                "A folder of five pictures to draw digits on, taken in the order of their names; "
                "five textures of this package if omitted.",
                kind=str,
                is_place=True,
            ),
            Setting(
                "background_hash",
                None,
                "SHA-256 of the backgrounds, computed from them; a continued run refuses others. "
                "Prepared data with this hash are read without the pictures.",
                kind=str,
            ),
            Setting(
                "translated",
                False,
                "Whether digits are scaled to three quarters and placed at random.",
            ),
            Setting(
                "filters",
                32,
                "Filters of an encoder's first convolution; other layers are in proportion. Joint "
                "networks (jmvae, telbo) have --joint_filters.",
                checks.positive_integer,
            ),
            Setting(
                "joint_filters",
                32,
                "Filters of the first convolutions of a joint network (jmvae, telbo).",
                checks.positive_integer,
            ),
        ),
        labels=_labels,
        class_names=tuple("0123456789"),
        resolve=_resolve,
    )
)
