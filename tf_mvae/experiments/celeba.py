"""CelebA: a face and 18 attributes, as one vector (celeba) or each separately (celeba19)."""

from collections.abc import Mapping, Sequence

import keras

from tf_mvae.data.attributes import (
    ALL,
    CELEBA_ATTRIBUTES,
    available_attributes,
    image_and_attributes,
)
from tf_mvae.data.pipeline import Split
from tf_mvae.distributions import likelihoods
from tf_mvae.experiments.registry import DATASET_DIR, Experiment, named, register
from tf_mvae.group import ModalityGroup
from tf_mvae.layers import (
    grouped_mlp_decoder,
    grouped_mlp_encoder,
    mlp_decoder,
    mlp_encoder,
)
from tf_mvae.layers.celeba import attributes_encoder, image_decoder, image_encoder
from tf_mvae.modality import Modality
from tf_mvae.settings import Setting

__all__ = ["CELEBA_LICENCE", "celeba19_modalities", "celeba_modalities"]

CELEBA_LICENCE = (
    "CelebA: copyright the Multimedia Laboratory, the Chinese University of Hong Kong; for "
    "non-commercial research only. Another --dataset_dir has its own licence."
)
Weights = Mapping[str, float]
ATTRIBUTES = Setting(
    "attributes",
    (),
    "Attributes, or all (of the data set's); the paper's 18 if omitted.",
)


def celeba_modalities(
    likelihood_weight: Weights,
    cross_weight: Weights,
    dataset_dir: str | None = None,
    attributes: Sequence[str] = (),
) -> list[Modality]:
    """Returns a 64 x 64 image and a vector of attributes (Wu and Goodman, NeurIPS 2018, CelebA).

    Image: `image_encoder` and `image_decoder`; attributes: 18-512-512 with batch
    normalisation, and 3 x 512-18 back; Swish.
    """
    number = len(attributes or CELEBA_ATTRIBUTES)
    vector = likelihoods.Bernoulli([number])
    networks = {
        "image": (likelihoods.Bernoulli([64, 64, 3]), image_encoder(), image_decoder()),
        "attributes": (vector, attributes_encoder(), mlp_decoder([number])),
    }
    return [
        Modality(name, *parts, likelihood_weight.get(name, 1.0), cross_weight.get(name))
        for name, parts in networks.items()
    ]


def celeba19_modalities(
    likelihood_weight: Weights,
    cross_weight: Weights,
    dataset_dir: str | None = None,
    attributes: Sequence[str] = (),
    absent_attributes: bool = False,
) -> list[Modality]:
    """Returns a 64 x 64 image and a group of attributes (the same paper, CelebA-19).

    An attribute: embed(2, 512)-512, and 3 x 512-1 back; Swish. A weight under `attributes`
    is that of each, one under an attribute's name its own.
    """
    names = _celeba19_names(attributes)["attributes"]
    own = {name: likelihood_weight.get("attributes", 1.0) for name in names}
    own |= {name: value for name, value in likelihood_weight.items() if name in names}
    cross = dict.fromkeys(names, cross_weight["attributes"]) if "attributes" in cross_weight else {}
    cross |= {name: value for name, value in cross_weight.items() if name in names}
    image = Modality(
        "image",
        likelihoods.Bernoulli([64, 64, 3]),
        image_encoder(),
        image_decoder(),
        likelihood_weight.get("image", 1.0),
        cross_weight.get("image"),
    )
    networks = grouped_mlp_encoder([512, 512], num_classes=2), grouped_mlp_decoder([])
    group = ModalityGroup("attributes", names, likelihoods.Bernoulli([]), *networks, own, cross)
    return [image, group]


def _celeba19_names(attributes: Sequence[str] = (), **_: object) -> dict[str, tuple[str, ...]]:
    return {"image": (), "attributes": tuple(attributes) or CELEBA_ATTRIBUTES}


def _joint_trunks() -> dict[str, keras.layers.Layer]:
    return {"image": image_encoder(), "attributes": mlp_encoder([512])}


def _image_given_attributes() -> tuple[keras.layers.Layer, list[int]]:
    return image_encoder(units=None), [512]


def _resolve(
    data_dir: str | None,
    dataset_dir: str | None,
    attributes: tuple[str, ...],
    absent_attributes: bool = False,
) -> dict[str, tuple[str, ...]]:
    """Names all attributes of a data set where the user asks for all."""
    if attributes != ALL:
        return {}
    return {"attributes": available_attributes(data_dir, dataset_dir)}


def _load(split: str, data_dir: str | None, **options) -> Split:
    return image_and_attributes(split, data_dir, **options)


register(
    Experiment(
        name="celeba",
        analyses=("log_likelihood",),
        description="CelebA: 64 x 64 image and a vector of 18 attributes",
        load=_load,
        modalities=celeba_modalities,
        names=named("image", "attributes"),
        joint_trunks=_joint_trunks,
        conditional_encoders={"image": _image_given_attributes},
        licence=CELEBA_LICENCE,
        settings=(DATASET_DIR, ATTRIBUTES),
        resolve=_resolve,
    )
)
register(
    Experiment(
        name="celeba19",
        analyses=("attributes",),
        description="CelebA: 64 x 64 image and 18 attributes, a modality each",
        load=_load,
        modalities=celeba19_modalities,
        names=_celeba19_names,
        licence=CELEBA_LICENCE,
        settings=(
            DATASET_DIR,
            ATTRIBUTES,
            Setting(
                "absent_attributes",
                False,
                "Whether attributes that the data set does not have are masked; otherwise they "
                "are an error.",
            ),
        ),
        resolve=_resolve,
    )
)
