"""A stack of layers that passes the examples' mask on."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.tiny import assert_close
from tf_mvae import CVAE, JMVAE, MVAE, Modality, ModalityGroup, likelihoods
from tf_mvae.errors import UserError
from tf_mvae.layers import MaskedBatchNormalization, MaskedSequential, mlp_encoder
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


def made_for(*shape):
    inputs = keras.Input(shape)
    return keras.Model(inputs, keras.layers.Dense(3)(inputs))


def parts(**networks):
    image = Modality("image", likelihoods.Bernoulli([4, 4, 1]), **networks)
    return [image, Modality("label", likelihoods.Categorical(3))]


def group(**networks):
    return [ModalityGroup("g", ["x", "y"], likelihoods.Normal([3]), **networks)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MVAE(parts(encoder=made_for(5))),
         r"^modality 'image': its encoder takes inputs of \[5\] for an example, and gets \[4, 4"),
        (lambda: MVAE(parts(encoder=keras.Sequential([keras.Input([5]), keras.layers.Dense(3)]))),
         r"its encoder takes inputs of \[5\] for an example, and gets \[4, 4, 1\]"),
        (lambda: MVAE(parts(encoder=keras.layers.Conv2D(3, 7))),
         r"its encoder takes inputs of other shapes .*\[4, 4, 1\] \(Computed output size would be"),
        (lambda: MVAE(parts(encoder=MaskedSequential([keras.layers.LSTM(3)]))),
         r"its encoder .*\(expected ndim=3, found ndim=4"),
        (lambda: MVAE(parts(decoder=made_for(5)), 2), r"its decoder .* gets \[2\]"),
        (lambda: MVAE(parts(expert_head=made_for(5))), "its expert_head takes"),
        (lambda: MVAE(group(encoder=made_for(5))), "modality 'g': its encoder takes"),
        (lambda: CVAE(parts(), trunk=made_for(5)), "the trunk takes"),
        (lambda: JMVAE(parts(), trunks={"image": made_for(5), "label": mlp_encoder([3], 3)}),
         "^the trunk of 'image' takes"),
    ],
)  # fmt: skip
def test_inputs_of_a_wrong_shape_are_a_mistake_in_one_line(make, message):
    with pytest.raises(UserError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
