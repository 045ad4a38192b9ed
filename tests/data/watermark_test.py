"""The watermark: covered pixels and colours."""

import numpy as np
import tensorflow as tf

from tf_mvae.data.watermark import watermark, watermark_mask


def test_words_are_half_white_their_shadow_half_black_and_the_rest_as_it_was():
    image = np.random.default_rng(0).integers(0, 256, [3, 64, 64, 3]).astype(np.uint8)
    marked = watermark(tf.constant(image)).numpy()
    words = watermark_mask(64, 64)
    shadow = np.zeros_like(words)
    for row in range(1, 64):
        for column in range(1, 64):
            shadow[row, column] = words[row - 1, column - 1] and not words[row, column]
    assert 0.05 < words.mean() < 0.3 and 0.05 < shadow.mean() < 0.3
    rest = ~(words | shadow)
    np.testing.assert_array_equal(marked[:, rest], image[:, rest])
    for where, ink in ((words, 255.0), (shadow, 0.0)):
        assert np.abs(marked[:, where] - (image[:, where] + ink) / 2).max() <= 0.5
    assert marked.dtype == np.uint8


def test_the_word_can_be_read():
    """The first letter, S, is at the left of the first line."""
    letter = watermark_mask(64, 64)[4:11, :5]
    rows = ["".join(".#"[int(on)] for on in row) for row in letter]
    assert rows == [".####", "#....", "#....", ".###.", "....#", "....#", "####."]


def test_every_size_is_covered():
    for size in ((3, 3), (20, 90), (100, 7)):
        assert watermark_mask(*size).shape == size
