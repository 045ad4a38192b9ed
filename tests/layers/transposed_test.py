"""A transposed convolution as an ordinary one equals Keras' own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.tiny import assert_close
from tf_mvae.layers import transposed
from tf_mvae.layers.transposed import ImageConv2DTranspose

RNG = np.random.default_rng(0)


def two(filters, kernel, **options):
    """Returns Keras' layer and ours, with the same weights."""
    layers = []
    for layer_class in (keras.layers.Conv2DTranspose, ImageConv2DTranspose):
        layers.append(layer_class(filters, kernel, bias_initializer="random_normal", **options))
        layers[-1].build((None, None, None, 5))
    layers[1].set_weights(layers[0].get_weights())
    return layers


def called(layer, inputs):
    """Returns what a layer makes and the gradients of a function of it."""
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs)
        total = tf.reduce_sum(tf.cast(outputs, tf.float32) ** 3)
    return [outputs, *tape.gradient(total, [inputs, *(v.value for v in layer.weights)])]


@pytest.fixture
def rewritten(monkeypatch):
    """The sizes of the inputs that were convolved as an ordinary convolution."""
    seen, own = [], transposed._transposed
    monkeypatch.setattr(
        transposed, "_transposed", lambda x, *rest: (seen.append(x.shape), own(x, *rest))[1]
    )
    return seen


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("stride", [2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (5, 4)], ids=str)
def test_outputs_and_gradients_are_keras_own(padding, stride, size, mode, rewritten):
    layers = two(3, 2 * stride, strides=stride, padding=padding, activation="tanh")
    inputs = tf.constant(RNG.normal(size=[2, *size, 5]).astype(np.float32))
    expected, found = (mode(lambda x, layer=layer: called(layer, x))(inputs) for layer in layers)
    assert rewritten
    assert_close(found, expected, 1e-4, 1e-4)


@pytest.mark.parametrize(
    ("filters", "kernel", "options"),
    [
        (5, 4, {"strides": 2}),
        (1, 4, {}),
        (1, 2, {}),
        (1, 3, {"strides": 2}),
        (1, (4, 2), {"strides": 2}),
        (1, 4, {"strides": (2, 1)}),
        (1, 4, {"strides": 2, "output_padding": 1}),
    ],
    ids=str,
)
def test_what_is_no_such_convolution_is_left_to_keras(filters, kernel, options, rewritten):
    layers = two(filters, kernel, padding="same", **options)
    inputs = tf.constant(RNG.normal(size=[2, 3, 4, 5]).astype(np.float32))
    assert_close(called(layers[1], inputs), called(layers[0], inputs), 0, 0)
    assert not rewritten


def test_a_gpu_keeps_its_own_operation(monkeypatch, rewritten):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind])
    two(3, 4, strides=2, padding="same")[1](tf.zeros([1, 2, 2, 5]))
    assert not rewritten


def test_sizes_need_not_be_known(rewritten):
    plain, own = two(1, 4, strides=2, padding="same")
    run = tf.function(own, input_signature=[tf.TensorSpec([None, None, None, 5])])
    for shape in ([3, 2, 4, 5], [1, 6, 3, 5]):
        inputs = tf.constant(RNG.normal(size=shape).astype(np.float32))
        np.testing.assert_allclose(run(inputs), plain(inputs), rtol=1e-5, atol=1e-5)
    assert rewritten


def test_low_precision(rewritten):
    plain, own = two(3, 4, strides=2, padding="same", dtype="mixed_bfloat16")
    inputs = tf.constant(RNG.normal(size=[4, 6, 6, 5]).astype(np.float32))
    found, expected = own(inputs), plain(inputs)
    assert rewritten and found.dtype == expected.dtype == tf.bfloat16
    np.testing.assert_allclose(
        tf.cast(found, tf.float32), tf.cast(expected, tf.float32), rtol=2**-6, atol=2**-6
    )


def test_it_is_saved_with_a_model(tmp_path):
    model = keras.Sequential(
        [keras.layers.Input([3, 3, 5]), ImageConv2DTranspose(2, 4, strides=2, padding="same")]
    )
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(again.layers[0], ImageConv2DTranspose)
    inputs = RNG.normal(size=[2, 3, 3, 5]).astype(np.float32)
    np.testing.assert_array_equal(again(inputs), model(inputs))
