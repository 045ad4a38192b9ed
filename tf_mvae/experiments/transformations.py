"""One picture in six views: colourisation, edges, segmentation, completion, watermarks."""

from collections.abc import Mapping, Sequence
from typing import Any

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
from tf_mvae.experiments.celeba import CELEBA_LICENCE, image_decoder, image_encoder
from tf_mvae.experiments.registry import DATASET_DIR, Experiment, register
from tf_mvae.modality import Modality
from tf_mvae.settings import Setting

__all__ = ["transformation_modalities"]


def transformation_modalities(
    likelihood_weight: Mapping[str, float],
    cross_weight: Mapping[str, float],
    dataset_dir: str | None = None,
    transformations: Sequence[str] = (),
    absent_segmentation: bool = False,
    mask_feature: str | None = None,
    mask_values: Sequence[str] = (),
) -> list[Modality]:
    """Returns up to six 64 x 64 pictures (Wu and Goodman, NeurIPS 2018, vision case study).

    Each has the networks of CelebA's image, of its own, and a Bernoulli likelihood.
    """
    modalities = []
    for name in chosen(transformations):
        channels = CHANNELS[name]
        modalities.append(
            Modality(
                name,
                likelihoods.Bernoulli([IMAGE_SIZE, IMAGE_SIZE, channels]),
                image_encoder(),
                image_decoder(channels),
                likelihood_weight.get(name, 1.0),
                cross_weight.get(name),
            )
        )
    return modalities


def _resolve(
    data_dir: str | None,
    dataset_dir: str | None,
    transformations: Sequence[str],
    absent_segmentation: bool,
    mask_feature: str | None = None,
    mask_values: Sequence[str] = (),
) -> dict[str, Any]:
    """Has a run that names no modalities take those that its data set has."""
    if not transformations:
        mask = (mask_feature, mask_values)
        names = CHANNELS if absent_segmentation else available(data_dir, dataset_dir, *mask)
        transformations = tuple(names)
    return {"transformations": chosen(transformations)}


def _names(transformations: Sequence[str], **_: Any) -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(chosen(transformations), ())


def _load(split: str, data_dir: str | None, **options) -> Split:
    return transformed_images(split, data_dir, **options)


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
                "Numbers in that feature that are inside: 1, or 1,3; all but 0 if omitted.",
            ),
        ),
        resolve=_resolve,
        optional=tuple(CHANNELS),
        tasks=TASKS,
    )
)
