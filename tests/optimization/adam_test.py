"""Adam as one operation takes the steps of Keras' own."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_mvae.optimization import FusedAdam

RNG = np.random.default_rng(0)
START = RNG.normal(size=[3, 4]).astype(np.float32)
GRADIENTS = RNG.normal(size=[6, 3, 4]).astype(np.float32)
# The same arithmetic, in another order perhaps.
TOLERANCE = {"rtol": 1e-5, "atol": 2e-6}


def path_of(optimizer, mode, gradients):
    """Returns the weights after each gradient, and the optimizer's variables at the end."""
    weights = keras.Variable(START)
    optimizer.build([weights])
    step = mode(lambda gradient: optimizer.apply([gradient], [weights]))
    path = []
    for gradient in gradients:
        step(tf.constant(gradient))
        path.append(weights.numpy())
    return np.stack(path), [variable.numpy() for variable in optimizer.variables]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3},
        {"global_clipnorm": 0.5, "use_ema": True, "ema_momentum": 0.9},
        {"gradient_accumulation_steps": 2},
        {"amsgrad": True},
        {"weight_decay": 0.1},
    ],
    ids=str,
)
def test_steps_and_variables_are_those_of_keras(options, mode):
    rate = keras.optimizers.schedules.CosineDecay(0.1, 6)
    (fused, own), (expected, theirs) = (
        path_of(make(rate, **options), mode, GRADIENTS)
        for make in (FusedAdam, keras.optimizers.Adam)
    )
    assert np.abs(np.diff(fused[:, 0, 0])).max() > 1e-3
    np.testing.assert_allclose(fused, expected, **TOLERANCE)
    for one, other in zip(own, theirs, strict=True):
        np.testing.assert_allclose(one, other, **TOLERANCE)


def test_it_is_one_operation_a_variable():
    def operations(make, number=1):
        weights = [keras.Variable(START) for _ in range(number)]
        optimizer = make()
        optimizer.build(weights)
        gradients = [tf.constant(GRADIENTS[0])] * number
        step = tf.function(lambda: optimizer.apply(gradients, weights))
        return [op.type for op in step.get_concrete_function().graph.get_operations()]

    assert operations(FusedAdam).count("ResourceApplyAdam") == 1
    several = operations(FusedAdam, 3)
    assert several.count("ResourceApplyAdam") == 3
    assert several.count("Pow") == 2  # of both decays, for all
    assert "ResourceApplyAdam" not in operations(keras.optimizers.Adam)
    assert "AssignSubVariableOp" not in operations(FusedAdam)


def test_a_sparse_gradient_is_left_to_keras():
    def sparse():
        return tf.IndexedSlices(tf.ones([1, 4]), tf.constant([1]), tf.constant([3, 4]))

    results = []
    for make in (FusedAdam, keras.optimizers.Adam):
        weights = keras.Variable(START)
        optimizer = make(0.1)
        optimizer.build([weights])
        optimizer.apply([sparse()], [weights])
        results.append(weights.numpy())
    np.testing.assert_array_equal(*results)
    assert np.any(results[0] != START)


@pytest.mark.parametrize("devices", [1, 2])
def test_a_strategy_updates_every_replica(devices):
    names = [d.name for d in tf.config.list_logical_devices("CPU")][:devices]
    if len(names) < devices:
        pytest.skip("needs two logical devices")
    strategy = tf.distribute.MirroredStrategy(
        [name.removeprefix("/device:") for name in names], tf.distribute.ReductionToOneDevice()
    )
    results = []
    for make in (FusedAdam, keras.optimizers.Adam):
        with strategy.scope():
            weights = keras.Variable(START)
            optimizer = make(0.1)
            optimizer.build([weights])
        strategy.run(lambda o=optimizer, w=weights: o.apply([tf.constant(GRADIENTS[0])], [w]))
        results.append(weights.numpy())
    np.testing.assert_allclose(*results, **TOLERANCE)
    assert np.any(results[0] != START)


def test_a_saved_one_needs_the_package_alone():
    optimizer = FusedAdam(0.25, beta_1=0.5)
    saved = json.dumps(keras.optimizers.serialize(optimizer))
    load = (
        "import json, sys, keras, tf_mvae\n"
        "loaded = keras.optimizers.deserialize(json.loads(sys.argv[1]))\n"
        "print(type(loaded).__name__, loaded.get_config()['beta_1'])"
    )
    told = subprocess.check_output([sys.executable, "-c", load, saved], text=True)
    assert told.split() == ["FusedAdam", "0.5"]
