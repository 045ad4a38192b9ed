"""Dropout from the step's seed."""

import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tf_mvae.layers import SeededDropout
from tf_mvae.layers.dropout import layer_seeds


@pytest.mark.parametrize("mode", tiny.MODES.values(), ids=tiny.MODES)
def test_a_share_is_dropped_the_rest_scaled_and_seeds_repeat(mode):
    layer = SeededDropout(0.25)

    @mode
    def drop(seed):
        with layer_seeds(seed):
            ones = tf.ones([400, 50])
            return layer(ones, training=True), layer(ones, training=True)

    one, second = (part.numpy() for part in drop(tf.constant([1, 2])))
    again, _ = drop(tf.constant([1, 2]))
    other, _ = drop(tf.constant([1, 3]))
    assert set(np.unique(one)) == {0.0, np.float32(1 / 0.75)}
    assert abs((one == 0).mean() - 0.25) < 0.02
    assert np.array_equal(one, again)
    assert not np.array_equal(one, second) and not np.array_equal(one, other)


def test_outside_training_nothing_happens_and_in_it_a_seed_is_needed():
    layer = SeededDropout(0.5)
    assert np.array_equal(layer(tf.ones([3, 4])), np.ones([3, 4]))
    with pytest.raises(ValueError, match="needs a seed"):
        layer(tf.ones([3, 4]), training=True)
    with pytest.raises(ValueError, match="rate"):
        SeededDropout(1.0)
