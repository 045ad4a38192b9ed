"""The watermark: what it covers, and how."""

import numpy as np
import tensorflow as tf

from tf_mvae.data.watermark import watermark, watermark_mask


def test_covered_pixels_are_half_white_and_others_as_they_were():
    image = np.random.default_rng(0).integers(0, 256, [3, 64, 64, 3]).astype(np.uint8)
    marked = watermark(tf.constant(image)).numpy()
    covered = watermark_mask(64, 64)
    assert 0.05 < covered.mean() < 0.3
    np.testing.assert_array_equal(marked[:, ~covered], image[:, ~covered])
    wanted = (image[:, covered].astype(float) + 255) / 2
    assert np.abs(marked[:, covered] - wanted).max() <= 0.5
    assert marked.dtype == np.uint8


def test_the_word_can_be_read():
    """Its first letter, S, stands at the left of the first line."""
    letter = watermark_mask(64, 64)[4:11, :5]
    rows = ["".join(".#"[int(on)] for on in row) for row in letter]
    assert rows == [".####", "#....", "#....", ".###.", "....#", "....#", "####."]


def test_every_size_is_covered():
    for size in ((3, 3), (20, 90), (100, 7)):
        assert watermark_mask(*size).shape == size
