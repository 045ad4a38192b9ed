"""Where the segmentation of a picture comes from: a mask, its alpha, or a face's landmarks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mvae.data.attributes import square
from tf_mvae.data.landmarks import LANDMARKS, landmark_mask
from tf_mvae.errors import UserError

__all__ = ["mask_maker", "mask_names"]

_ALPHA = 3  # its place among four channels

Maker = Callable[[Mapping[str, Any]], tf.Tensor]


def mask_maker(
    name: str,
    features: Mapping[str, Any],
    size: int,
    mask_feature: str | None = None,
    mask_values: Sequence[str] = (),
) -> Maker | None:
    """Returns a function that makes the segmentation of an example, or None if it has none.

    The first of these that there is: the feature that the user names, a feature `mask`, the alpha
    of an `image` of four channels, `landmarks` as CelebA has them. No other feature is taken by
    its name: what its numbers mean is for the user to say.

    Args:
        name: The data set's, for messages.
        features: TFDS's, by name; `image` among them.
        size: Height and width of a segmentation.
        mask_feature: A feature `[height, width, 1]` of numbers.
        mask_values: Of a mask, integers that are inside; all but 0 where empty.

    Returns:
        From an example to uint8 `[size, size, 1]`, 0 and 255, with the place that `square` gives
        the picture: inside is a pixel of which half or more is, or that is half opaque or more.

    Raises:
        UserError: The feature is missing or no mask, there is no mask for the values, or one
            is not an integer.
    """
    values = _numbers(mask_values)
    masks = mask_names(features)
    if mask_feature is not None and mask_feature not in masks:
        raise UserError(
            f"--mask_feature={mask_feature}: data set {name!r} has no such feature of numbers in "
            f"one channel; it has {', '.join(masks) or 'none at all'}"
        )
    feature = mask_feature or "mask"
    if feature in masks:
        return lambda example: _half(square(_full(example[feature], values), size))
    if values:
        raise UserError(
            f"--mask_values={','.join(mask_values)}: data set {name!r} has no feature 'mask'; name "
            f"another with --mask_feature ({', '.join(masks) or 'it has none of one channel'})"
        )
    if features["image"].shape[-1] > _ALPHA:
        return lambda example: _half(square(example["image"][..., _ALPHA:], size))
    landmarks: Any = features.get("landmarks")
    if hasattr(landmarks, "keys") and set(LANDMARKS) <= set(landmarks.keys()):
        return lambda example: _of_landmarks(example, size)
    return None


def mask_names(features: Mapping[str, Any]) -> list[str]:
    """Returns the names of all features that may be masks: numbers `[height, width, 1]`."""
    return sorted(name for name in features if name != "image" and _is_mask(features[name]))


def _is_mask(feature: Any) -> bool:
    shape = getattr(feature, "shape", None)
    if not isinstance(shape, tuple) or len(shape) != 3 or shape[-1] != 1:
        return False
    return np.dtype(feature.np_dtype).kind in "biuf"


def _numbers(values: Sequence[str]) -> list[int]:
    try:
        return [int(value) for value in values]
    except ValueError as error:
        raise UserError(
            f"--mask_values are whole numbers, as 1,3; they are {','.join(values)}"
        ) from error


def _full(mask: tf.Tensor, values: Sequence[int]) -> tf.Tensor:
    """Returns 255 where a mask is inside, uint8 `[height, width, 1]`."""
    numbers = tf.cast(mask, tf.float64)
    inside = tf.reduce_any(numbers == tf.constant(values, tf.float64), -1, keepdims=True)
    return tf.cast(inside if values else numbers != 0, tf.uint8) * tf.constant(255, tf.uint8)


def _half(mask: tf.Tensor) -> tf.Tensor:
    return tf.where(mask > 127, tf.constant(255, tf.uint8), 0)


def _of_landmarks(example: Mapping[str, Any], size: int) -> tf.Tensor:
    height, width = tf.unstack(tf.shape(example["image"])[:2])
    return landmark_mask(example["landmarks"], height, width, size)
