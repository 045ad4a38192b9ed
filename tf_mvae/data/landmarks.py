"""A mask of a face's parts, drawn from CelebA's five landmarks."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

__all__ = ["LANDMARKS", "landmark_mask"]

_POINTS = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
LANDMARKS = tuple(f"{point}_{axis}" for point in _POINTS for axis in "xy")

# Radii as fractions of the distance between the eyes.
_EYE, _NOSE, _MOUTH = 0.24, 0.24, 0.16


def landmark_mask(
    landmarks: Mapping[str, tf.Tensor], height: int | tf.Tensor, width: int | tf.Tensor, size: int
) -> tf.Tensor:
    """Draws eyes and nose as discs, and the mouth as a thick line between its corners.

    The radii are shares of the distance between the eyes. The mask has the place and size
    that `tf_mvae.data.attributes.square` gives the picture itself.

    Args:
        landmarks: CelebA's, `lefteye_x`, `lefteye_y`, ...: pixels of the whole picture.
        height: The whole picture's.
        width: The whole picture's.
        size: Height and width of the mask.

    Returns:
        uint8 `[size, size, 1]`, 0 and 255.
    """
    side = tf.minimum(height, width)
    corner = tf.stack([(width - side) // 2, (height - side) // 2])
    points = {name: tf.stack([landmarks[f"{name}_x"], landmarks[f"{name}_y"]]) for name in _POINTS}
    scale = size / tf.cast(side, tf.float32)
    points = {
        name: (tf.cast(point, tf.float32) - tf.cast(corner, tf.float32) + 0.5) * scale - 0.5
        for name, point in points.items()
    }
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    pixels = tf.constant(np.stack([columns, rows], axis=-1))
    apart = tf.norm(points["lefteye"] - points["righteye"])
    mouth = points["leftmouth"], points["rightmouth"]
    inside = _distance(pixels, *mouth) <= _MOUTH * apart
    for name, radius in (("lefteye", _EYE), ("righteye", _EYE), ("nose", _NOSE)):
        inside |= _distance(pixels, points[name], points[name]) <= radius * apart
    return tf.cast(inside, tf.uint8)[..., tf.newaxis] * tf.constant(255, tf.uint8)


def _distance(pixels: tf.Tensor, start: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
    """Returns each pixel's distance from a line between two points."""
    along = end - start
    share = tf.math.divide_no_nan(
        tf.reduce_sum((pixels - start) * along, axis=-1), tf.reduce_sum(along**2)
    )
    nearest = start + tf.clip_by_value(share, 0.0, 1.0)[..., tf.newaxis] * along
    return tf.norm(pixels - nearest, axis=-1)
