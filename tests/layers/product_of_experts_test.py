"""The product of experts as a Keras layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.tiny import assert_close
from tf_mvae.layers import ProductOfExperts
from tf_mvae.ops import gaussian_product

RNG = np.random.default_rng(0)
LOC = RNG.normal(size=[5, 4, 3]).astype(np.float32)
LOG_VARIANCE = RNG.normal(size=[5, 4, 3]).astype(np.float32)


def random_mask(*lead):
    return RNG.integers(2, size=[*lead, 5, 4]).astype(np.float32)


@pytest.mark.parametrize("lead", [(), (2,)])
def test_equals_the_op(lead, mode):
    mask = random_mask(*lead)
    layer = ProductOfExperts()
    actual = mode(layer)(tf.constant(LOC), tf.constant(LOG_VARIANCE), tf.constant(mask))
    assert_close(actual, gaussian_product(LOC, LOG_VARIANCE, mask), 1e-6, 1e-6)
    assert not layer.weights


def test_no_mask_is_every_expert():
    expected = gaussian_product(LOC, LOG_VARIANCE, np.ones([5, 4]))
    assert_close(ProductOfExperts()(LOC, LOG_VARIANCE), expected, 0, 0)


@pytest.mark.parametrize("lead", [(), (2,)])
def test_output_shapes(lead):
    mask = random_mask(*lead)
    shapes = ProductOfExperts().compute_output_shape(LOC.shape, LOG_VARIANCE.shape, mask.shape)
    outputs = ProductOfExperts()(LOC, LOG_VARIANCE, mask)
    assert [tuple(shape) for shape in shapes] == [tuple(part.shape) for part in outputs]


def test_in_a_functional_model_saved_and_loaded(tmp_path):
    mask = random_mask()
    inputs = [keras.Input([4, 3]), keras.Input([4, 3]), keras.Input([4])]
    model = keras.Model(inputs, ProductOfExperts(name="product")(*inputs))
    assert [tuple(shape) for shape in model.output_shape] == [(None, 3), (None, 3)]
    expected = gaussian_product(LOC, LOG_VARIANCE, mask)
    assert_close(tuple(model.predict([LOC, LOG_VARIANCE, mask], verbose=0)), expected)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.get_layer("product"), ProductOfExperts)
    assert_close(tuple(loaded.predict([LOC, LOG_VARIANCE, mask], verbose=0)), expected)
