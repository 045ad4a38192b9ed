"""The subsets that a sampler is fitted to."""

import numpy as np
import tensorflow as tf

from tf_mvae.samplers import draw_subsets

NUMBER = 20_000


def draw(present, seed=0, **kwargs):
    rows = tf.constant(np.broadcast_to(present, [NUMBER, len(present)]), tf.float32)
    return draw_subsets(rows, tf.constant([seed, 0]), **kwargs).numpy()


def shares(subsets):
    """Returns the relative frequency of each subset."""
    found, counts = np.unique(subsets, axis=0, return_counts=True)
    return {
        tuple(row.astype(int)): count / NUMBER for row, count in zip(found, counts, strict=True)
    }


def test_sizes_are_equally_likely_between_nothing_and_everything():
    found = shares(draw([1, 1, 1], empty_probability=0.3, full_probability=0.1))
    assert abs(found[0, 0, 0] - 0.3) < 0.015
    assert abs(found[1, 1, 1] - 0.1) < 0.01
    sizes = [sum(p for s, p in found.items() if sum(s) == size) for size in (1, 2)]
    np.testing.assert_allclose(sizes, 0.3, atol=0.015)
    np.testing.assert_allclose([p for s, p in found.items() if sum(s) == 1], 0.1, atol=0.01)


def test_an_incomplete_example_keeps_less_than_it_has():
    found = shares(draw([1, 0, 1]))
    assert set(found) == {(0, 0, 0), (1, 0, 0), (0, 0, 1)}
    assert abs(found[1, 0, 0] - found[0, 0, 1]) < 0.02
    assert set(shares(draw([0, 1, 0]))) == {(0, 0, 0)}
    assert set(shares(draw([0, 0, 0]))) == {(0, 0, 0)}


def test_one_modality_is_there_or_not():
    found = shares(draw([1], full_probability=0.4))
    assert set(found) == {(0,), (1,)}
    assert abs(found[1,] - 0.4) < 0.015


def test_the_seed_decides():
    np.testing.assert_array_equal(draw([1, 1, 1], 3), draw([1, 1, 1], 3))
    assert not np.array_equal(draw([1, 1, 1], 3), draw([1, 1, 1], 4))
