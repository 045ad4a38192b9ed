"""Images of zeros and ones from images of grey levels."""

import dataclasses
from typing import Any

import tensorflow as tf

from tf_mvae.data.pipeline import Split
from tf_mvae.errors import UserError

__all__ = ["BINARIZATIONS", "binarize"]

BINARIZATIONS = ("dynamic", "threshold")


def binarize(split: Split, how: str, name: str = "image") -> Split:
    """Returns the split with uint8 images of 0 and 255 only.

    Args:
        split: Its images are uint8, `[height, width, channels]`.
        how: `'threshold'`: a pixel is on from 128, once. `'dynamic'`: a pixel
            is on with its grey level as probability, drawn again every epoch in
            training, and once in evaluation (Salakhutdinov and Murray,
            ICML 2008).
        name: The image's modality.

    Raises:
        UserError: `how` is neither.
    """
    if how == "threshold":
        return split.map(lambda part: _with(part, name, part["x"][name] >= 128))
    if how != "dynamic":
        raise UserError(f"a binarization is one of {BINARIZATIONS}, not {how!r}")

    def randomize(x: dict[str, Any], seed: tf.Tensor) -> dict[str, Any]:
        level = tf.cast(x[name], tf.float32) / 255
        uniform = tf.random.stateless_uniform(tf.shape(level), seed)
        return _with({"x": x}, name, uniform < level)["x"]

    return dataclasses.replace(split, randomize=randomize)


def _with(part: dict[str, Any], name: str, on: tf.Tensor) -> dict[str, Any]:
    return {**part, "x": {**part["x"], name: tf.cast(on, tf.uint8) * tf.constant(255, tf.uint8)}}
