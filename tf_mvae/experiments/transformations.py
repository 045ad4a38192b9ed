"""One picture in six views: colourisation, edges, segmentation, completion, watermarks."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from tf_mvae import checks
from tf_mvae.data.pipeline import Split
from tf_mvae.data.transformations import (
    CHANNELS,
    IMAGE_SIZE,
    TASKS,
    available,
    chosen,
    transformed_images,
)
from tf_mvae.distributions import likelihoods
from tf_mvae.errors import UserError
from tf_mvae.experiments.celeba import CELEBA_LICENCE
from tf_mvae.experiments.registry import DATASET_DIR, Experiment, register
from tf_mvae.layers import MaskedSequential, spatial_decoder, spatial_encoder, spatial_head
from tf_mvae.layers.celeba import image_decoder, image_encoder
from tf_mvae.layers.spatial import parameters_apart
from tf_mvae.modality import Modality
from tf_mvae.settings import Setting

__all__ = ["transformation_modalities"]


PIXEL_LIKELIHOODS = ("bernoulli", "normal", "laplace")
_BINARY = ("edges", "segmentation")


def transformation_modalities(
    likelihood_weight: Mapping[str, float],
    cross_weight: Mapping[str, float],
    transformations: Sequence[str] = (),
    latent_shape: Sequence[str] = (),
    spatial_filters: int = 32,
    pixel_likelihood: str = "bernoulli",
    pixel_scale: float = 0.04,
    **_: Any,
) -> list[Modality]:
    """Returns up to six 64 x 64 pictures (Wu and Goodman, NeurIPS 2018, vision case study).

    Each has the networks of CelebA's image, of its own, and a Bernoulli likelihood.

    Args:
        likelihood_weight: Weights by name.
        cross_weight: The same.
        transformations: Names of the modalities; all if empty.
        latent_shape: `[height, width, channels]` of a latent that is a grid: the networks are then
            `spatial_encoder`, `spatial_head` and `spatial_decoder`.
        spatial_filters: Channels of these networks.
        pixel_likelihood: Of the pictures that are not black and white: one of
            `PIXEL_LIKELIHOODS`.
        pixel_scale: Its scale, in units of the range of a pixel; 0 is one that the decoder puts
            out for each pixel. A Bernoulli likelihood has none.
        **_: The settings of the data.
    """
    grid = grid_shape(latent_shape)
    modalities = []
    for name in chosen(transformations):
        likelihood = _likelihood(name, pixel_likelihood, pixel_scale)
        if grid is None:
            networks = {"encoder": image_encoder(), "decoder": _vector_decoder(likelihood)}
        else:
            patch = IMAGE_SIZE // grid[0]
            networks = {
                "encoder": spatial_encoder(patch, spatial_filters),
                "decoder": spatial_decoder(grid, likelihood.parameter_shape, spatial_filters, 0),
                "expert_head": spatial_head(grid[-1]),
            }
        weights = likelihood_weight.get(name, 1.0), cross_weight.get(name)
        made = Modality(
            name, likelihood, likelihood_weight=weights[0], cross_weight=weights[1], **networks
        )
        modalities.append(made)
    return modalities


def grid_shape(latent_shape: Sequence[str]) -> tuple[int, int, int] | None:
    """Returns the sizes that `--latent_shape` names, None if it names none.

    Raises:
        UserError: They are not three integers of 1 or more, of which the first two are equal and
            divide the side of a picture.
    """
    if not latent_shape:
        return None
    try:
        found = checks.shape("--latent_shape", [int(size) for size in latent_shape])
    except ValueError:
        found = ()
    if len(found) != 3 or found[0] != found[1] or IMAGE_SIZE % found[0]:
        raise UserError(
            f"--latent_shape is three integers, such as 8,8,16, of which the first two are one "
            f"divisor of {IMAGE_SIZE}; it is {','.join(map(str, latent_shape))}"
        )
    return found


def _likelihood(name: str, kind: str, scale: float) -> likelihoods.Likelihood:
    """Returns a picture's likelihood; one that is black and white has a Bernoulli likelihood."""
    shape = [IMAGE_SIZE, IMAGE_SIZE, CHANNELS[name]]
    if kind == "bernoulli" or name in _BINARY:
        return likelihoods.Bernoulli(shape)
    family = {"normal": likelihoods.Normal, "laplace": likelihoods.Laplace}[kind]
    return family(shape, scale or None)


def _vector_decoder(likelihood: likelihoods.Likelihood) -> keras.layers.Layer:
    """Returns CelebA's decoder, of an image or of several parameters a pixel."""
    *several, _, _, channels = likelihood.parameter_shape
    network = image_decoder(math.prod(several) * channels)
    apart = parameters_apart(likelihood.parameter_shape)
    return MaskedSequential([*network.layers, *apart]) if apart else network


def _resolve(
    data_dir: str | None,
    dataset_dir: str | None,
    transformations: Sequence[str],
    absent_segmentation: bool,
    mask_feature: str | None = None,
    mask_values: Sequence[str] = (),
    latent_shape: Sequence[str] = (),
    **_: Any,
) -> dict[str, Any]:
    """Has a run that names no modalities take those that its data set has.

    A latent that is a grid has as many numbers as the grid.
    """
    if not transformations:
        mask = (mask_feature, mask_values)
        names = CHANNELS if absent_segmentation else available(data_dir, dataset_dir, *mask)
        transformations = tuple(names)
    found = {"transformations": chosen(transformations)}
    grid = grid_shape(latent_shape)
    return found if grid is None else {**found, "latent_dim": math.prod(grid)}


def _names(transformations: Sequence[str], **_: Any) -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(chosen(transformations), ())


def _load(split: str, data_dir: str | None, **options) -> Split:
    own = {name: value for name, value in options.items() if name not in _OF_NETWORKS}
    return transformed_images(split, data_dir, **own)


_NETWORK_SETTINGS = (
    Setting(
        "latent_shape",
        (),
        "Height, width and channels of a latent that is a grid, such as 8,8,16, with convolutional "
        "experts and decoders; --latent_dim is then their product. A vector if omitted.",
    ),
    Setting(
        "spatial_filters",
        32,
        "Channels of the networks of a latent that is a grid.",
        checks.positive_integer,
    ),
    Setting(
        "pixel_likelihood",
        "bernoulli",
        "Likelihood of the pictures that are not black and white.",
        choices=PIXEL_LIKELIHOODS,
    ),
    Setting(
        "pixel_scale",
        0.04,
        "Scale of a normal or laplace likelihood of pixels between 0 and 1; 0 is one that the "
        "decoder puts out for each pixel.",
        checks.non_negative,
    ),
)
_OF_NETWORKS = {setting.name for setting in _NETWORK_SETTINGS}


register(
    Experiment(
        name="celeba_transformations",
        analyses=("transformations",),
        description="a 64 x 64 picture in colour, grey, edges, mask, half obscured, watermarked",
        load=_load,
        modalities=transformation_modalities,
        names=_names,
        licence=CELEBA_LICENCE,
        settings=(
            DATASET_DIR,
            *_NETWORK_SETTINGS,
            Setting(
                "transformations",
                (),
                "The modalities: image, grayscale, edges, segmentation, obscured, watermarked; all "
                "that the data set has if omitted.",
            ),
            Setting(
                "absent_segmentation",
                False,
                "Whether the segmentation is masked if the data set has no mask.",
            ),
            Setting(
                "mask_feature",
                None,
                "Feature of one channel that is the segmentation; if omitted `mask`, the image's "
                "alpha or CelebA's landmarks (`tf_mvae.data.segmentation.mask_maker`).",
                kind=str,
            ),
            Setting(
                "mask_values",
                (),
                "Values of that feature inside the segmentation: 1, or 1,3; all but 0 if omitted.",
            ),
        ),
        resolve=_resolve,
        optional=tuple(CHANNELS),
        tasks=TASKS,
    )
)
