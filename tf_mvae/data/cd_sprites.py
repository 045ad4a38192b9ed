"""Drawn shapes and captions that name their attributes, in five levels of difficulty."""

import itertools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.data.pipeline import Split
from tf_mvae.errors import UserError
from tf_mvae.ops.tokens import END, FIRST_WORD, PAD

__all__ = ["ATTRIBUTES", "SIZE", "WORDS", "CaptionWords", "caption", "caption_length", "cd_sprites"]

SIZE = 64
# In the order of the levels: a caption of level n names the first n.
ATTRIBUTES = {
    "shape": ("heart", "square", "ellipse"),
    "size": ("small", "big"),
    "colour": ("yellow", "red", "pink", "green", "blue"),
    "position": ("top left", "top right", "bottom left", "bottom right"),
    "background": ("black", "white", "grey", "brown", "purple"),
}
_COLOURS = ((240, 220, 30), (225, 30, 30), (255, 150, 200), (30, 170, 60), (40, 90, 230))
_BACKGROUNDS = ((0, 0, 0), (255, 255, 255), (128, 128, 128), (110, 65, 25), (95, 20, 120))
_RADII = (6.0, 11.0)
_QUARTER, _JITTER = 16, 2
_MOST_ANGLE = 12  # degrees
_BETWEEN = 0.4, 0.6  # the part of a pixel by which other splits' shapes stand below a whole one
_NUMBERS = {"train": 60_000, "validation": 5_000, "test": 10_000}
_WORDS = itertools.chain(*(name.split() for names in ATTRIBUTES.values() for name in names))
WORDS = ("", "start", "end", "at", "on", *dict.fromkeys(_WORDS))


def caption(values: Sequence[int]) -> str:
    """Returns the caption of attributes: "small red heart at top left on white".

    Args:
        values: The places of the first attributes in `ATTRIBUTES`, one for each level.
    """
    said = [names[value] for names, value in zip(ATTRIBUTES.values(), values, strict=False)]
    words = said[:3][::-1]  # colour and size stand before the shape
    if len(said) > 2:
        words[:2] = words[1::-1]
    if len(said) > 3:
        words += ["at", said[3]]
    if len(said) > 4:
        words += ["on", said[4]]
    return " ".join(words)


def caption_length(level: int) -> int:
    """Returns the symbols of a caption of a level, its end among them."""
    return len(caption([0] * level).split()) + 1


class CaptionWords:
    """Turns captions into ids, as `Vocabulary` does sentences.

    Example:

    ```python
    CaptionWords().encode(["small heart"], length=3)[0]   # [[8, 5, 2]]
    ```
    """

    def encode(self, sentences: Sequence[str], length: int) -> tuple[np.ndarray, int]:
        """Returns ids, int32 `[sentences, length]`, and how many captions were cut: none.

        Args:
            sentences: The captions.
            length: The most symbols, the end among them.

        Raises:
            UserError: A word is not known, or a caption is longer.
        """
        ids = np.full([len(sentences), length], PAD, np.int32)
        for row, sentence in zip(ids, sentences, strict=True):
            words = sentence.split()
            unknown = [word for word in words if word not in WORDS[FIRST_WORD:]]
            if unknown or len(words) >= length:
                raise UserError(
                    f"{sentence!r} is no caption of {length - 1} words or fewer out of "
                    f"{', '.join(WORDS[FIRST_WORD:])}"
                )
            row[: len(words) + 1] = [*(WORDS.index(word) for word in words), END]
        return ids, 0


def cd_sprites(split: str, level: int = 1) -> Split:
    """Draws shapes with captions; nothing is read or written.

    A caption of level n names the first n of shape, size, colour, position and background.
    Attributes that it does not name are the same in every image: big, yellow, in the middle, on
    black. Named ones are drawn at random, all values equally likely. Shapes are moved by up to 2
    pixels and turned by up to 12 degrees, so that images of one caption differ. Every example is a
    function of the split and its place.

    In the training split shapes are moved by whole pixels and turned by whole degrees. In the
    others they stand between these positions and angles, so that none of their images is a
    training image.

    After Sejnova, Vavrecka and Stepanova, *Benchmarking multimodal variational autoencoders:
    CdSprites+ dataset and toolkit* (2023), whose shapes come from dSprites and have textures.

    Args:
        split: `train` (60,000), `validation` (5,000) or `test` (10,000).
        level: 1 to 5.

    Returns:
        Examples `{"x": {"image": uint8 [64, 64, 3], "caption": int32 [caption_length]}}`.

    Raises:
        UserError: There is no such split.

    Example:

    ```python
    example = next(iter(cd_sprites("test", level=5).dataset))["x"]
    ```
    """
    checks.one_of("split", split, sorted(_NUMBERS))
    sizes = [len(names) for names in ATTRIBUTES.values()]
    combinations = list(itertools.product(*map(range, sizes[:level])))
    length = caption_length(level)
    captions, _ = CaptionWords().encode([caption(values) for values in combinations], length)
    usual = [0, 1, 0, -1, 0]  # -1: in the middle
    table = tf.constant([[*values, *usual[level:]] for values in combinations])
    captions, place = tf.constant(captions), list(_NUMBERS).index(split)

    def example(index: tf.Tensor) -> dict[str, dict[str, tf.Tensor]]:
        seed = tf.random.fold_in(tf.constant([place, 56]), tf.cast(index, tf.int32))
        bits = tf.random.stateless_uniform([4], seed, 0, 2**31 - 1, tf.int32)
        row = bits[0] % len(combinations)
        if split == "train":
            moved, degrees = _on_the_grid(bits[1:])
        else:
            moved, degrees = _between(tf.random.fold_in(seed, 1))
        image = _draw(table[row], moved, degrees * np.pi / 180)
        return {"x": {"image": image, "caption": captions[row]}}

    number = _NUMBERS[split]

    def rows(start: int, stop: int) -> tf.data.Dataset:
        return tf.data.Dataset.range(start, stop).map(example, num_parallel_calls=2)

    return Split(rows(0, number), number, rows=rows)


def _on_the_grid(bits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns how a training image's shape is moved and turned: whole pixels and degrees.

    Args:
        bits: Random integers, `[3]`.

    Returns:
        Pixels down and to the right, `[2]`, and degrees, `[]`.
    """
    moved = bits[:2] % (2 * _JITTER + 1) - _JITTER
    degrees = bits[2] % (2 * _MOST_ANGLE + 1) - _MOST_ANGLE
    return tf.cast(moved, tf.float32), tf.cast(degrees, tf.float32)


def _between(seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns how a shape of the other splits is moved and turned, as `_on_the_grid` does.

    The angle and the move to the right are any in the range. The move down is about halfway between
    two whole pixels: a shape that is moved by a smaller part of a pixel can have a training image's
    pixels.
    """
    drawn = tf.random.stateless_uniform([4], seed)
    part = _BETWEEN[0] + drawn[1] * (_BETWEEN[1] - _BETWEEN[0])
    down = tf.floor(drawn[0] * 2 * _JITTER) - _JITTER + part
    right = (2 * drawn[2] - 1) * _JITTER
    return tf.stack([down, right]), (2 * drawn[3] - 1) * _MOST_ANGLE


def _draw(values: tf.Tensor, moved: tf.Tensor, angle: tf.Tensor) -> tf.Tensor:
    """Draws one shape.

    Args:
        values: The places of all attributes, `[5]`; a position of -1 is the middle.
        moved: Pixels down and to the right, `[2]`.
        angle: By which it is turned, in radians.

    Returns:
        uint8 `[64, 64, 3]`.
    """
    shape, size, colour, position, background = tf.unstack(values)
    down, right = tf.maximum(position, 0) // 2, tf.maximum(position, 0) % 2
    quarter = tf.stack([down, right]) * 2 * _QUARTER + _QUARTER
    usual = tf.where(position < 0, [SIZE // 2, SIZE // 2], quarter)
    centre = tf.cast(usual, tf.float32) + moved
    axis = tf.range(SIZE, dtype=tf.float32) + 0.5
    y, x = (axis - centre[k] for k in (0, 1))
    y, x = tf.meshgrid(y, x, indexing="ij")
    radius = tf.constant(_RADII)[size]
    u = (tf.cos(angle) * x + tf.sin(angle) * y) / radius
    v = (tf.cos(angle) * y - tf.sin(angle) * x) / radius
    w = 0.2 - 1.15 * v  # upwards; a heart reaches from -1 to 1.2
    inside = tf.stack(
        [
            ((1.15 * u) ** 2 + w**2 - 1) ** 3 < (1.15 * u) ** 2 * w**3,
            tf.maximum(tf.abs(u), tf.abs(v)) < 0.85,
            u**2 + (v / 0.6) ** 2 < 1,
        ]
    )[shape]
    colours = tf.constant(_COLOURS)[colour], tf.constant(_BACKGROUNDS)[background]
    return tf.cast(tf.where(inside[..., tf.newaxis], *colours), tf.uint8)
