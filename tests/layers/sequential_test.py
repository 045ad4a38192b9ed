"""A stack of layers that passes the examples' mask on."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.tiny import assert_close
from tf_mvae.errors import UserError
from tf_mvae.layers import MaskedBatchNormalization, MaskedSequential
from tf_mvae.layers.sequential import call_network

RNG = np.random.default_rng(0)
X = RNG.normal(size=[6, 4]).astype(np.float32)
MASK = np.array([1, 1, 0, 1, 0, 1], np.float32)


def make_stack():
    inner = MaskedSequential([keras.layers.Dense(5), MaskedBatchNormalization(momentum=0.5)])
    return MaskedSequential([inner, keras.layers.Dropout(0.5), keras.layers.Dense(2, "tanh")])


def test_applies_the_layers_in_order():
    layers = [keras.layers.Dense(5, "relu"), keras.layers.Dense(2)]
    outputs = MaskedSequential(layers)(X)
    np.testing.assert_array_equal(outputs, layers[1](layers[0](X)))


def test_the_mask_reaches_batch_norm_at_any_depth():
    stack = make_stack()
    stack(X, training=True, example_mask=MASK)
    dense, batch_norm = stack.layers[0].layers
    expected = 0.5 * np.mean(dense(X)[MASK > 0], axis=0)
    np.testing.assert_allclose(batch_norm.moving_mean, expected, rtol=1e-5, atol=1e-6)


def test_no_mask_is_every_row():
    one, other = make_stack(), make_stack()
    one.build(X.shape)
    other.build(X.shape)
    other.set_weights(one.get_weights())
    one(X, training=True)
    other(X, training=True, example_mask=np.ones(6, np.float32))
    assert_close(one.get_weights(), other.get_weights(), 0, 0)


def test_training_reaches_dropout():
    stack = MaskedSequential([keras.layers.Dropout(0.5)])
    np.testing.assert_array_equal(stack(X), X)
    assert np.mean(stack(np.ones([1000, 1]), training=True) == 0) == pytest.approx(0.5, abs=0.1)


def test_building_makes_every_weight():
    stack = make_stack()
    stack.build((None, 4))
    # Dense 4 to 5; batch norm's scale, offset and two statistics; Dense 5 to 2.
    assert stack.count_params() == (4 + 1) * 5 + 4 * 5 + (5 + 1) * 2
    before = stack.get_weights()
    outputs = stack(X)
    assert outputs.shape == stack.compute_output_shape(X.shape) == (6, 2)
    assert_close(stack.get_weights(), before, 0, 0)


def test_saved_and_loaded_inside_a_model(tmp_path):
    model = keras.Sequential([keras.Input([4]), make_stack()])
    model.layers[0](X, training=True, example_mask=MASK)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(X), model(X))
    assert_close(loaded.get_weights(), model.get_weights(), 0, 0)


def test_a_plain_layer_is_called_with_what_it_takes():
    class Plain(keras.layers.Layer):
        def call(self, inputs):
            return 2 * inputs

    assert_close(call_network(Plain(), tf.constant(X), tf.constant(MASK), True), 2 * X, 0, 0)


def test_a_functional_network_is_called_with_training():
    network = keras.Sequential([keras.Input([4]), keras.layers.Dropout(0.99)])
    still = call_network(network, tf.constant(X), tf.constant(MASK), False)
    np.testing.assert_array_equal(still, X)
    dropped = call_network(network, tf.constant(X), tf.constant(MASK), True)
    assert np.mean(dropped == 0) > 0.5


def test_a_network_of_several_outputs_is_refused():
    inputs = keras.Input([4])
    network = keras.Model(inputs, {"pooled": keras.layers.Dense(2)(inputs), "all": inputs})
    with pytest.raises(UserError, match=r"returns a dict; an encoder or a decoder returns one"):
        call_network(network, tf.constant(X), tf.constant(MASK), False)
