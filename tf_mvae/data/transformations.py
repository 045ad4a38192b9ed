"""One picture in up to six views: Wu and Goodman's vision case study.

    image         RGB
    grayscale     its luminance
    edges         Canny's, of the luminance, sigma 2
    segmentation  a mask: the data set's own, its alpha, or drawn from CelebA's landmarks
    obscured      the right half black
    watermarked   words over it

All are made inside the input pipeline, from any prepared TFDS data set that has an `image`. One
with an alpha lies on white.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging

from tf_mvae.data.attributes import check_bytes, square
from tf_mvae.data.canny import canny
from tf_mvae.data.pipeline import Split
from tf_mvae.data.prepared import chosen_builder, read, usual_splits
from tf_mvae.data.segmentation import mask_maker, mask_names
from tf_mvae.data.tasks import Task
from tf_mvae.data.watermark import watermark
from tf_mvae.errors import UserError

__all__ = [
    "CHANNELS",
    "IMAGE_SIZE",
    "TASKS",
    "available",
    "chosen",
    "obscured",
    "transform",
    "transformed_images",
]

IMAGE_SIZE = 64
# By modality, in the order of the models.
CHANNELS = {
    "image": 3,
    "grayscale": 1,
    "edges": 1,
    "segmentation": 1,
    "obscured": 3,
    "watermarked": 3,
}
_SEGMENTATION = "segmentation"
_NO_MASK = np.zeros([IMAGE_SIZE, IMAGE_SIZE, 1], np.uint8)
_BATCH = 64
# The luminance of a pixel is the product with this: that of `tf.image.rgb_to_grayscale`.
_LUMINANCE = np.array([[0.2989], [0.5870], [0.1140]], np.float32)


def chosen(transformations: Sequence[str]) -> tuple[str, ...]:
    """Returns the modalities that a user chose, in the models' order; all where empty.

    Raises:
        UserError: One is not known.
    """
    for name in transformations:
        if name not in CHANNELS:
            raise UserError(f"--transformations names {name!r}; there are {', '.join(CHANNELS)}")
    return tuple(name for name in CHANNELS if name in (transformations or CHANNELS))


def available(
    data_dir: str | None = None,
    dataset_dir: str | None = None,
    mask_feature: str | None = None,
    mask_values: Sequence[str] = (),
) -> tuple[str, ...]:
    """Returns the modalities that a data set has: without a mask it has no segmentation.

    Args:
        data_dir: See `transformed_images`.
        dataset_dir: See `transformed_images`.
        mask_feature: See `transformed_images`.
        mask_values: See `transformed_images`.

    Raises:
        UserError: The data are missing, or have no image, or not the mask that is named.
    """
    builder = chosen_builder("celeb_a", data_dir, dataset_dir)
    features = _features(builder)
    if mask_maker(builder.name, features, IMAGE_SIZE, mask_feature, mask_values):
        return tuple(CHANNELS)
    if masks := mask_names(features):
        logging.warning(
            "data set %r is taken without a segmentation; --mask_feature makes one of %s",
            builder.name,
            " or ".join(masks),
        )
    return tuple(name for name in CHANNELS if name != _SEGMENTATION)


def transformed_images(
    split: str,
    data_dir: str | None = None,
    dataset_dir: str | None = None,
    transformations: Sequence[str] = (),
    absent_segmentation: bool = False,
    mask_feature: str | None = None,
    mask_values: Sequence[str] = (),
) -> Split:
    """Reads pictures, cut to a square of 64 x 64, and makes the modalities of each.

    Args:
        split: `train`, `validation` or `test`. Where the data set has no validation or
            test split of its own, a tenth of its training split is that.
        data_dir: Where TFDS keeps `celeb_a`; its own default if omitted.
        dataset_dir: A prepared directory to read instead: examples have an `image` (uint8,
            1, 3 or 4 channels) and may have what a segmentation is made of; see `mask_maker`.
        transformations: Names of the modalities; all where empty.
        absent_segmentation: Whether the segmentation is there and masked out in every
            example, if the data set has none.
        mask_feature: See `tf_mvae.data.segmentation.mask_maker`.
        mask_values: See there.

    Returns:
        Examples `{"x": {name: uint8 [64, 64, 1 or 3]}}`, with `mask["segmentation"]: 0`
        where it is absent.

    Raises:
        UserError: The data are missing or not of this form, or have no mask.

    Example:

    ```python
    split = transformed_images("train", dataset_dir="DIR/pets/1.0.0")
    ```
    """
    names = chosen(transformations)
    builder = chosen_builder("celeb_a", data_dir, dataset_dir)
    features = _features(builder)
    to_mask = mask_maker(builder.name, features, IMAGE_SIZE, mask_feature, mask_values)
    absent = _SEGMENTATION in names and to_mask is None
    if absent and not absent_segmentation:
        raise _no_segmentation(builder.name, features, names)
    examples = read(builder, usual_splits(builder), split)
    maker = _Maker(names, to_mask)
    made = examples.map(maker.cut, num_parallel_calls=4).apply(maker.in_batches)
    if not absent:
        return made
    number = made.num_examples
    presence = {name: np.full(number, name != _SEGMENTATION, np.float32) for name in names}
    return dataclasses.replace(made, presence=presence)


@dataclasses.dataclass(frozen=True)
class _Maker:
    """Makes modalities of a data set's examples; the segmentation is absent without `to_mask`."""

    names: tuple[str, ...]
    to_mask: Callable[[dict[str, Any]], tf.Tensor] | None

    def cut(self, example: dict[str, Any]) -> dict[str, tf.Tensor]:
        """Returns an example's picture and segmentation, uint8 `[64, 64, 3]` and `[64, 64, 1]`."""
        parts = {"image": _rgb(square(_on_white(example["image"]), IMAGE_SIZE))}
        if _SEGMENTATION in self.names:
            parts[_SEGMENTATION] = self.to_mask(example) if self.to_mask else _NO_MASK
        return parts

    def in_batches(self, cut: tf.data.Dataset) -> tf.data.Dataset:
        """Returns the examples of the result of `cut`, made in batches."""
        return cut.batch(_BATCH).map(self._examples, num_parallel_calls=2).unbatch()

    def _examples(self, parts: dict[str, tf.Tensor]) -> dict[str, Any]:
        x = transform(parts["image"], [name for name in self.names if name != _SEGMENTATION])
        if _SEGMENTATION not in self.names:
            return {"x": x}
        x[_SEGMENTATION] = parts[_SEGMENTATION]
        if self.to_mask:
            return {"x": x}
        return {"x": x, "mask": {_SEGMENTATION: tf.zeros(tf.shape(x[_SEGMENTATION])[:1])}}


def _no_segmentation(dataset: str, features: dict[str, Any], names: Sequence[str]) -> UserError:
    others = ",".join(name for name in names if name != _SEGMENTATION)
    return UserError(
        f"data set {dataset!r} has no mask to be the segmentation: leave it out with "
        f"--transformations={others}, mask it out with --absent_segmentation, or name a "
        f"feature with --mask_feature ({', '.join(mask_names(features)) or 'it has none'})"
    )


def transform(image: tf.Tensor, names: Sequence[str]) -> dict[str, tf.Tensor]:
    """Makes modalities of pictures; a segmentation is none of them.

    Args:
        image: uint8 `[batch, height, width, 3]`; height and width are static.
        names: The modalities to make.

    Returns:
        uint8 `[batch, height, width, 1 or 3]` by name.
    """
    grayscale = tf.image.rgb_to_grayscale(image)
    makers = {
        "image": lambda: image,
        "grayscale": lambda: grayscale,
        "edges": lambda: _black_and_white(canny(grayscale[..., 0])),
        "obscured": lambda: obscured(image),
        "watermarked": lambda: watermark(image),
    }
    return {name: makers[name]() for name in names}


def obscured(image: tf.Tensor) -> tf.Tensor:
    """Returns pictures whose right half is black, `[batch, height, width, channels]`."""
    width = image.shape[2]
    there = np.arange(width)[:, np.newaxis] < width // 2
    return tf.where(there, image, tf.zeros([], image.dtype))


def _black_and_white(inside: tf.Tensor) -> tf.Tensor:
    return tf.cast(inside, tf.uint8)[..., tf.newaxis] * tf.constant(255, tf.uint8)


def _on_white(image: tf.Tensor) -> tf.Tensor:
    """Lays a picture of 4 channels on white, as far as it is transparent, and leaves others."""
    if image.shape[-1] < 4:
        return image
    colours, alpha = tf.split(tf.cast(image, tf.float32), [3, 1], axis=-1)
    return tf.cast(tf.round(255 + (colours - 255) * alpha / 255), tf.uint8)


def _rgb(image: tf.Tensor) -> tf.Tensor:
    return image if image.shape[-1] == 3 else tf.image.grayscale_to_rgb(image)


def _features(builder: tfds.core.DatasetBuilder) -> dict[str, Any]:
    declared = builder.info.features
    features = {name: declared[name] for name in declared} if hasattr(declared, "keys") else {}
    shape: tuple[int, ...] = getattr(features.get("image"), "shape", ())
    if len(shape) != 3 or shape[-1] not in (1, 3, 4):
        raise UserError(
            f"data set {builder.name!r} has no feature 'image' of 1, 3 or 4 channels; its "
            f"features are {', '.join(features) or builder.info.features}"
        )
    check_bytes(builder.name, features["image"])
    return features


def _in_three_channels(given: np.ndarray, mean: np.ndarray) -> np.ndarray:
    return np.repeat(given, 3, axis=-1)


def _mean(given: np.ndarray, mean: np.ndarray) -> np.ndarray:
    return np.broadcast_to(mean, (len(given), *mean.shape))


def _mean_in_right_half(given: np.ndarray, mean: np.ndarray) -> np.ndarray:
    half = given.shape[2] // 2
    right = np.broadcast_to(mean[:, half:], (len(given), *mean[:, half:].shape))
    return np.concatenate([given[:, :, :half], right], axis=2)


def _mirrored(given: np.ndarray, mean: np.ndarray) -> np.ndarray:
    left = given[:, :, : given.shape[2] // 2]
    return np.concatenate([left, left[:, :, ::-1]], axis=2)


def _as_given(given: np.ndarray, mean: np.ndarray) -> np.ndarray:
    return given


def _with_luminance(given: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Adds one number to the channels of each pixel, so that its luminance is the given one."""
    return predicted + given - predicted @ _LUMINANCE


# Wu and Goodman, NeurIPS 2018: the tasks of their figure.
TASKS = (
    Task(
        "colourisation",
        "grayscale",
        "image",
        {"grey in three channels": _in_three_channels},
        corrections={"with the given luminance": _with_luminance},
    ),
    Task(
        "edge detection",
        "image",
        "edges",
        {"mean of the training split": _mean},
        binary=True,
        tolerance=True,
    ),
    Task(
        "segmentation", "image", "segmentation", {"mean of the training split": _mean}, binary=True
    ),
    Task(
        "completion",
        "obscured",
        "image",
        {
            "mean of the training split in the hidden half": _mean_in_right_half,
            "the other half mirrored": _mirrored,
        },
        parts={"hidden half": (slice(None), slice(IMAGE_SIZE // 2, None))},
    ),
    Task("watermark removal", "watermarked", "image", {"left as it is": _as_given}),
)
