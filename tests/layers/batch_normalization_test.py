"""Batch normalisation over observed examples."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.tiny import assert_close
from tf_mvae.layers import MaskedBatchNormalization

RNG = np.random.default_rng(0)
# Keras divides masked sums by the count plus its epsilon, 1e-7: relative to a count of
# one or more that is below float32's own rounding of about 1e-7.
TOLERANCE = 1e-5


def make_layer(layer_class=MaskedBatchNormalization, rank=2, **kwargs):
    layer = layer_class(**kwargs)
    layer.build((*[None] * (rank - 1), 3))
    return layer


@pytest.fixture(params=[[8, 3], [8, 4, 5, 3]], ids=["vectors", "images"])
def inputs(request):
    return (2 + 3 * RNG.normal(size=request.param)).astype(np.float32)


@pytest.mark.parametrize("mask", [[1, 0, 1, 1, 0, 0, 1, 1], [1] * 8], ids=["some", "all"])
def test_equals_keras_own_on_the_rows_that_are_there(inputs, mask, mode):
    mask = np.array(mask, np.float32)
    masked = make_layer(rank=inputs.ndim)
    plain = make_layer(keras.layers.BatchNormalization, inputs.ndim)
    outputs = mode(lambda x, m: masked(x, training=True, example_mask=m))(
        tf.constant(inputs), tf.constant(mask)
    )
    expected = plain(inputs[mask > 0], training=True)
    np.testing.assert_allclose(outputs[mask > 0], expected, rtol=TOLERANCE, atol=TOLERANCE)
    assert_close(masked.get_weights(), plain.get_weights(), TOLERANCE, TOLERANCE)


def test_no_mask_is_keras_own(inputs):
    masked = make_layer(rank=inputs.ndim)
    plain = make_layer(keras.layers.BatchNormalization, inputs.ndim)
    np.testing.assert_array_equal(masked(inputs, training=True), plain(inputs, training=True))
    assert_close(masked.get_weights(), plain.get_weights(), 0, 0)


@pytest.fixture(params=[[], ["GPU"]], ids=["cpu", "gpu"])
def devices(request, monkeypatch):
    """Of the kinds of devices that there are: a GPU's gradient is another operation."""
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: request.param)


@pytest.mark.parametrize("options", [{}, {"center": False}, {"scale": False}], ids=str)
@pytest.mark.parametrize("rank", [2, 3, 4, 5])
def test_a_whole_batch_has_the_gradients_of_keras_own(rank, options, devices):
    inputs = tf.constant(RNG.normal(2, 3, [4, *[2] * (rank - 2), 3]).astype(np.float32))
    factors = RNG.normal(size=inputs.shape).astype(np.float32)
    results = []
    for layer_class, arguments in (
        (MaskedBatchNormalization, {"example_mask": tf.ones([4])}),
        (keras.layers.BatchNormalization, {}),
    ):
        layer = make_layer(layer_class, rank, **options)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            total = tf.reduce_sum(factors * layer(inputs, training=True, **arguments))
        sources = [inputs, *(v.value for v in layer.trainable_variables)]
        results.append([total, *tape.gradient(total, sources), *layer.get_weights()])
    assert_close(results[0], results[1], TOLERANCE, TOLERANCE)


@pytest.mark.parametrize("options", [{}, {"center": False}, {"scale": False}], ids=str)
@pytest.mark.parametrize("shape", [[8, 3], [8, 4, 5, 3]], ids=["vectors", "images"])
def test_a_part_of_a_batch_has_the_gradients_of_keras_own(shape, options, mode):
    """Keras' layer takes a mask of entries; rows that do not count have outputs, too."""
    inputs = tf.constant(RNG.normal(2, 3, shape).astype(np.float32))
    factors = RNG.normal(size=shape).astype(np.float32)
    counts = tf.constant([1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0])
    entries = tf.broadcast_to(tf.reshape(counts > 0, [8, *[1] * (len(shape) - 2)]), shape[:-1])
    results = []
    for layer_class, arguments in (
        (MaskedBatchNormalization, {"example_mask": counts}),
        (keras.layers.BatchNormalization, {"mask": entries}),
    ):
        layer = make_layer(layer_class, len(shape), **options)
        sources = [inputs, *(v.value for v in layer.trainable_variables)]

        def run(layer=layer, arguments=arguments, sources=sources):
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                total = tf.reduce_sum(factors * layer(inputs, training=True, **arguments))
            return [total, *tape.gradient(total, sources)]

        results.append([*mode(run)(), *layer.get_weights()])
    assert_close(results[0], results[1], TOLERANCE, TOLERANCE)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_a_whole_batch_in_low_precision_is_as_keras_own(policy, offset, mode):
    layer = make_layer(rank=4, dtype=policy)
    plain = make_layer(keras.layers.BatchNormalization, 4, dtype=policy)
    inputs = tf.cast(offset + RNG.normal(size=[8, 4, 5, 3]), layer.compute_dtype)
    assert layer._can_fuse(inputs)

    def run(layer, **arguments):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=True, **arguments)
            total = tf.reduce_sum(tf.cast(outputs, tf.float32) ** 3)
        assert outputs.dtype == inputs.dtype
        return outputs, tape.gradient(total, inputs)

    whole = mode(lambda mask: run(layer, example_mask=mask))(tf.ones([8]))
    digits = {"mixed_bfloat16": 8, "mixed_float16": 11}[policy]
    for found, expected in zip(whole, run(plain), strict=True):
        found, expected = (tf.cast(x, tf.float32).numpy() for x in (found, expected))
        np.testing.assert_allclose(found, expected, atol=8 * 2**-digits * np.abs(expected).max())
    assert_close(layer.get_weights(), plain.get_weights(), 1e-4, 1e-4)


@pytest.mark.parametrize("spread", [0.0, 0.01])
@pytest.mark.parametrize("rank", [2, 4])
def test_features_far_from_zero_are_normalised(rank, spread, mode):
    shape = [50, *[4] * (rank - 2), 3]
    inputs = (np.array([0.3, -50.0, 1000.0]) + spread * RNG.normal(size=shape)).astype(np.float32)
    layer = make_layer(rank=rank, epsilon=1e-5, momentum=0.0)
    outputs = mode(lambda x, m: layer(x, training=True, example_mask=m))(
        tf.constant(inputs), tf.ones([50])
    )
    axes = tuple(range(rank - 1))
    mean, variance = (f(inputs.astype(np.float64), axes) for f in (np.mean, np.var))
    # What rounding of the mean does to a feature of no spread at all is not blown up.
    expected = (inputs - mean) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(outputs, expected, atol=0.05 if spread else 1e-3)
    np.testing.assert_allclose(layer.moving_mean, mean, rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, variance, rtol=1e-3, atol=1e-6)


def test_a_whole_batch_is_one_operation(inputs):
    layer = make_layer(rank=inputs.ndim)
    step = tf.function(lambda x, m: layer(x, training=True, example_mask=m))
    graph = step.get_concrete_function(tf.constant(inputs), tf.ones([8])).graph.as_graph_def()
    branches = {f.signature.name: {n.op for n in f.node_def} for f in graph.library.function}
    # The choice, and its two ways.
    assert sorted("FusedBatchNormV3" in ops for ops in branches.values()) == [False, False, True]


@pytest.mark.parametrize("rank", [2, 4])
def test_xla_compiles_it_for_any_number_of_rows(rank):
    """A branch whose gradient XLA compiles for a shape that is not known aborts the process."""
    layer = make_layer(rank=rank)
    inner = [2] * (rank - 2)

    def step(inputs, mask):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=True, example_mask=mask)
            total = tf.reduce_sum(outputs * tf.cast(tf.range(3), tf.float32) * inputs)
        return tape.gradient(total, [inputs, *(v.value for v in layer.trainable_variables)])

    specs = [tf.TensorSpec([None, *inner, 3]), tf.TensorSpec([None])]
    compiled = tf.function(step, input_signature=specs, jit_compile=True)
    for mask in ([1.0] * 8, [1.0, 0.0], [1.0]):
        inputs = tf.constant(RNG.normal(size=[len(mask), *inner, 3]).astype(np.float32))
        assert_close(
            compiled(inputs, tf.constant(mask)), step(inputs, tf.constant(mask)), 1e-3, 1e-4
        )


@pytest.mark.parametrize("placeholder", [0.0, -7.0, 1e6])
def test_masked_rows_change_nothing(placeholder):
    mask = np.array([1, 1, 0, 1], np.float32)
    clean = RNG.normal(size=[4, 3]).astype(np.float32)
    spoilt = clean.copy()
    spoilt[2] = placeholder
    results = []
    for values in (clean, spoilt):
        layer = make_layer()
        tensor = tf.constant(values)
        with tf.GradientTape() as tape:
            tape.watch(tensor)
            outputs = layer(tensor, training=True, example_mask=tf.constant(mask))
            total = tf.reduce_sum(tf.boolean_mask(outputs**3, mask > 0))
        gradient = tape.gradient(total, tensor)
        assert not np.any(gradient[2])
        results.append((outputs.numpy()[mask > 0], gradient, layer.get_weights()))
    assert_close(results[1], results[0])


def test_a_batch_with_nothing_leaves_the_moving_statistics(inputs, mode):
    layer = make_layer(rank=inputs.ndim)
    layer(inputs, training=True)
    before = layer.get_weights()
    assert np.any(before[2])
    outputs = mode(lambda x, m: layer(x, training=True, example_mask=m))(
        tf.constant(inputs), tf.zeros([8])
    )
    assert np.all(np.isfinite(outputs))
    assert_close(layer.get_weights(), before, 0, 0)


def test_one_example_alone_is_enough():
    layer = make_layer(momentum=0.0)
    value = np.array([[1.0, 2.0, 3.0], [9.0, 9.0, 9.0]], np.float32)
    outputs = layer(value, training=True, example_mask=tf.constant([1.0, 0.0]))
    np.testing.assert_allclose(outputs[0], np.zeros(3), atol=1e-3)
    np.testing.assert_allclose(layer.moving_mean, value[0], rtol=TOLERANCE)
    np.testing.assert_allclose(layer.moving_variance, np.zeros(3), atol=TOLERANCE)


def test_inference_uses_the_moving_statistics_whatever_the_mask(inputs):
    layer = make_layer(rank=inputs.ndim)
    layer(inputs, training=True)
    before = layer.get_weights()
    mask = tf.constant([1.0, 0.0] * 4)
    np.testing.assert_array_equal(layer(inputs, example_mask=mask), layer(inputs))
    assert_close(layer.get_weights(), before, 0, 0)


def test_a_frozen_layer_keeps_its_statistics(inputs):
    layer = make_layer(rank=inputs.ndim)
    layer.trainable = False
    before = layer.get_weights()
    layer(inputs, training=True, example_mask=tf.ones([8]))
    assert_close(layer.get_weights(), before, 0, 0)


def test_layers_of_one_graph_share_the_programs_of_both_ways():
    """A choice has a program for each way; every layer's own were most of a model's programs."""

    def functions(sizes):
        layers = [MaskedBatchNormalization() for _ in sizes]
        inputs = [tf.ones(size) for size in sizes]
        for layer, values in zip(layers, inputs, strict=True):
            layer.build(values.shape)

        def gradients(counts):
            with tf.GradientTape() as tape:
                total = sum(
                    tf.reduce_sum(layer(x, training=True, example_mask=counts) ** 2)
                    for layer, x in zip(layers, inputs, strict=True)
                )
            return tape.gradient(total, [layer.gamma.value for layer in layers])

        graph = tf.function(gradients).get_concrete_function(tf.ones([4])).graph
        return len(graph.as_graph_def().library.function)

    assert functions([[4, 3]] * 5) <= functions([[4, 3], [4, 2, 2, 7]]) == functions([[4, 3]]) > 0
