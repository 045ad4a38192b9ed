"""Images with binary attributes: CelebA, and any prepared data set of the same form."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from tf_mvae.data.pipeline import Split
from tf_mvae.data.prepared import chosen_builder, read
from tf_mvae.errors import UserError

__all__ = ["ALL", "CELEBA_ATTRIBUTES", "available_attributes", "image_and_attributes", "square"]

# The visually distinctive ones that Perarnau et al. (2016) and the paper keep, of 40.
CELEBA_ATTRIBUTES = (
    "Bald", "Bangs", "Black_Hair", "Blond_Hair", "Brown_Hair", "Bushy_Eyebrows",
    "Eyeglasses", "Gray_Hair", "Heavy_Makeup", "Male", "Mouth_Slightly_Open", "Mustache",
    "Pale_Skin", "Receding_Hairline", "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Hat",
)  # fmt: skip

# In the place of names: all that the data set has.
ALL = ("all",)

_SPLITS = {name: name for name in ("train", "validation", "test")}


def available_attributes(
    data_dir: str | None = None, dataset_dir: str | None = None
) -> tuple[str, ...]:
    """Returns the names of all attributes that a data set has, in alphabetical order.

    Args:
        data_dir: See `image_and_attributes`.
        dataset_dir: See `image_and_attributes`.

    Raises:
        UserError: The data are missing or not of this form.
    """
    return tuple(sorted(_attributes_of(chosen_builder("celeb_a", data_dir, dataset_dir))))


def image_and_attributes(
    split: str,
    data_dir: str | None = None,
    dataset_dir: str | None = None,
    attributes: Sequence[str] = (),
    absent_attributes: bool = False,
    size: int = 64,
) -> Split:
    """Reads images, cut to a square and resized, and attributes as a vector of 0 and 1.

    Args:
        split: `train`, `validation` or `test`, which are TFDS's own.
        data_dir: Where TFDS keeps `celeb_a`; its own default if omitted.
        dataset_dir: A prepared directory to read instead: examples have an `image` (uint8)
            and `attributes`, a dict of booleans.
        attributes: The names to take, in this order; `CELEBA_ATTRIBUTES` where empty.
        absent_attributes: Whether an attribute that the data set does not have is masked out in
            every example.
        size: Height and width of the images.

    Returns:
        Examples `{"x": {"image": uint8 [size, size, 3], "attributes": float32 [attribute]}}`,
        with `mask["attributes"]: [attribute]` where some may be absent.

    Raises:
        UserError: The data are missing or not of this form, or an attribute is absent.
    """
    builder = chosen_builder("celeb_a", data_dir, dataset_dir)
    names = tuple(attributes) or CELEBA_ATTRIBUTES
    known = _attributes_of(builder)
    absent = [name for name in names if name not in known]
    if absent and not absent_attributes:
        raise UserError(
            f"data set {builder.name!r} has no attribute {absent[0]!r}; it has "
            f"{', '.join(sorted(known))} (choose --attributes, or let celeba19 mask them with "
            "--absent_attributes)"
        )
    if len(absent) == len(names):
        raise UserError(f"data set {builder.name!r} has none of the attributes {', '.join(names)}")
    examples = read(builder, _SPLITS, split)

    def to_contract(example: dict[str, Any]) -> dict[str, Any]:
        given = example["attributes"]
        values = [tf.cast(given[name], tf.float32) if name in known else 0.0 for name in names]
        x = {"image": square(example["image"], size), "attributes": tf.stack(values)}
        if not absent_attributes:
            return {"x": x}
        mask = tf.constant([float(name in known) for name in names])
        return {"x": x, "mask": {"attributes": mask}}

    made = examples.map(to_contract, num_parallel_calls=4)
    if not absent:
        return made
    there = np.array([name in known for name in names], np.float32)
    presence = {
        "image": np.ones(made.num_examples, np.float32),
        "attributes": np.broadcast_to(there, (made.num_examples, len(names))),
    }
    return dataclasses.replace(made, presence=presence)


def square(image: tf.Tensor, size: int) -> tf.Tensor:
    """Cuts the largest central square out of an image and resizes it.

    Args:
        image: uint8 `[height, width, channels]`.
        size: The result's height and width.

    Returns:
        uint8 `[size, size, channels]`.
    """
    shape = tf.shape(image)
    side = tf.minimum(shape[0], shape[1])
    top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
    cut = image[top : top + side, left : left + side]
    resized = tf.image.resize(tf.cast(cut, tf.float32), [size, size], antialias=True)
    resized = tf.cast(tf.round(tf.clip_by_value(resized, 0, 255)), tf.uint8)
    return tf.ensure_shape(resized, [size, size, image.shape[-1]])


def check_bytes(dataset: str, image: Any) -> None:
    """Checks that the pixels of a data set's feature are bytes.

    Raises:
        UserError: They are not: brighter ones would all be white.
    """
    if np.dtype(image.np_dtype) != np.uint8:
        raise UserError(
            f"data set {dataset!r}: pixels are {np.dtype(image.np_dtype)}; write them as uint8, "
            "from 0 to 255"
        )


def _attributes_of(builder: tfds.core.DatasetBuilder) -> set[str]:
    features = builder.info.features
    try:
        image, attributes = features["image"], features["attributes"]
        names = {n for n, feature in attributes.items() if np.dtype(feature.np_dtype) == np.bool_}
        channels = image.shape[-1]
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"data set {builder.name!r} is not an image with a dict of boolean attributes; its "
            f"features are {', '.join(features)}"
        ) from error
    if channels != 3:
        raise UserError(f"data set {builder.name!r}: images need 3 channels, not {channels}")
    check_bytes(builder.name, image)
    return names
