"""A judge's predictions are its network's, and its features the inputs of the last layer."""

import keras
import numpy as np

from tf_mvae.evaluation.judges import Judge


def test_a_judge_of_many_examples_equals_its_network_layer_by_layer():
    first = keras.layers.Dense(7, "silu")
    network = keras.Sequential(
        [keras.Input([2, 3, 1]), keras.layers.Flatten(), first, keras.layers.Dense(4)]
    )
    values = np.random.default_rng(0).random([1003, 2, 3, 1]).astype(np.float32)
    verdict = Judge(network, lambda outputs: outputs.argmax(-1))(values)
    np.testing.assert_array_equal(verdict.said, network(values).numpy().argmax(-1))
    inner = first(values.reshape(1003, 6)).numpy()
    np.testing.assert_allclose(verdict.features, inner, atol=1e-6)


def test_a_reshape_after_the_last_dense_layer_is_no_feature():
    layers = [keras.layers.Flatten(), keras.layers.Dense(6), keras.layers.Reshape([2, 3])]
    judge = Judge(keras.Sequential([keras.Input([2, 2, 1]), *layers]), lambda o: o.argmax(-1))
    values = np.random.default_rng(0).random([5, 2, 2, 1]).astype(np.float32)
    assert judge.predict(values).shape == (5, 2)
    np.testing.assert_allclose(judge.features(values), values.reshape(5, 4), atol=1e-6)
