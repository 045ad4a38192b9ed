"""A watermark: the word SAMPLE, drawn by this package, without a font."""

import functools

import numpy as np
import tensorflow as tf

__all__ = ["watermark", "watermark_mask"]

_LETTERS = {
    "S": ("01111", "10000", "10000", "01110", "00001", "00001", "11110"),
    "A": ("01110", "10001", "10001", "11111", "10001", "10001", "10001"),
    "M": ("10001", "11011", "10101", "10101", "10001", "10001", "10001"),
    "P": ("11110", "10001", "10001", "11110", "10000", "10000", "10000"),
    "L": ("10000", "10000", "10000", "10000", "10000", "10000", "11111"),
    "E": ("11111", "10000", "10000", "11110", "10000", "10000", "11111"),
}
_WORD = "SAMPLE"
_PITCH = 16  # rows from one line of words to the next
_ALPHA = 0.5


def watermark(image: tf.Tensor) -> tf.Tensor:
    """Blends white words with a black shadow over pictures, so that they show on any ground.

    `(image + 255) / 2` where `watermark_mask` is true, `image / 2` in the shadow, a pixel
    below and to the right; the same words everywhere.

    Args:
        image: uint8 `[batch, height, width, channels]`; height and width are static.

    Returns:
        uint8, the same shape.
    """
    words = watermark_mask(*image.shape[1:3])
    shadow = np.zeros_like(words)
    shadow[1:, 1:] = words[:-1, :-1] & ~words[1:, 1:]
    alpha = (_ALPHA * (words | shadow)).astype(np.float32)[..., np.newaxis]
    ink = (255 * words).astype(np.float32)[..., np.newaxis]
    blended = (1 - alpha) * tf.cast(image, tf.float32) + alpha * ink
    return tf.cast(tf.round(blended), tf.uint8)


@functools.cache
def watermark_mask(height: int, width: int) -> np.ndarray:
    """Returns where the words are, bool `[height, width]`.

    Lines of the word again and again, every other one shifted by half a word.
    """
    letters = [np.array([list(row) for row in _LETTERS[letter]]) == "1" for letter in _WORD]
    gap = np.zeros([7, 1], bool)
    word = np.concatenate([part for letter in letters for part in (letter, gap)], axis=1)
    word = np.pad(word, [[0, 0], [0, 5]])
    line = np.tile(word, [1, 2 + width // word.shape[1]])
    covered = np.zeros([height, width], bool)
    for place, top in enumerate(range((_PITCH - 7) // 2, height, _PITCH)):
        shift = place % 2 * word.shape[1] // 2
        rows = min(7, height - top)
        covered[top : top + rows] = line[:rows, shift : shift + width]
    return covered
