"""Canny's edges against scikit-image's."""

import numpy as np
import pytest
import tensorflow as tf
from skimage.feature import canny as oracle

from tf_mvae.data.canny import canny


def pictures(number=24, size=64, seed=0):
    """Smooth blobs with sharp borders and some noise, uint8, which are similar to pictures."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size] / size
    found = []
    for _ in range(number):
        picture = (
            rng.uniform(0, 1) + rng.uniform(-0.5, 0.5) * rows + rng.uniform(-0.5, 0.5) * columns
        )
        for _ in range(rng.integers(1, 8)):
            row, column, radius = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.05, 0.4)
            inside = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
            picture = np.where(inside, rng.uniform(0, 1) + rng.uniform(-1, 1) * rows, picture)
        picture = picture + rng.normal(0, 0.04, picture.shape)
        found.append(np.clip(255 * picture, 0, 255))
    return np.stack(found).astype(np.uint8)


@pytest.mark.parametrize("function", [canny, tf.function(canny)], ids=["eager", "function"])
def test_every_pixel_is_scikit_images(function):
    grey = pictures()
    want = np.stack([oracle(picture / 255, sigma=2) for picture in grey])
    assert 0.02 < want.mean() < 0.3
    np.testing.assert_array_equal(function(tf.constant(grey)), want)


@pytest.mark.parametrize(
    ("sigma", "low", "high", "size"), [(1.0, 0.1, 0.2, (40, 64)), (3.0, 0.05, 0.3, (64, 30))]
)
def test_other_settings_and_sizes(sigma, low, high, size):
    grey = pictures(8, seed=1)[:, : size[0], : size[1]] / 255
    want = np.stack([oracle(p, sigma, low, high) for p in grey])
    assert want.any() and not want.all()
    np.testing.assert_array_equal(canny(tf.constant(grey), sigma, low, high), want)


def test_an_edge_is_as_long_as_its_weak_part():
    """A weak edge of any length counts if it is connected to a strong one, and not otherwise."""
    # A little noise: where two pixels are equally steep, rounding decides which one is an edge.
    picture = 0.5 + np.random.default_rng(0).normal(0, 0.002, [1, 64, 64])
    picture[0, 10:50, 10:50] += 0.11  # too weak by itself
    alone = canny(tf.constant(picture))
    assert not alone.numpy().any()
    picture[0, 10:16, 10:20] += 0.14
    held = canny(tf.constant(picture)).numpy()[0]
    want = oracle(picture[0], sigma=2)
    np.testing.assert_array_equal(held, want)
    assert held[45:, 45:].any()  # the far corner


def test_a_plain_picture_has_no_edges_and_no_border_is_one():
    assert not canny(tf.constant(np.full([2, 64, 64], 255, np.uint8))).numpy().any()
    found = canny(tf.constant(pictures(8))).numpy()
    assert not found[:, [0, -1]].any() and not found[:, :, [0, -1]].any()
