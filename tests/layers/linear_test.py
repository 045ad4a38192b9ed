"""Tests of the linear decoder: free and constant parameters, in their places."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_mvae import UserError, likelihoods
from tf_mvae.layers import LinearDecoder


def test_constant_parameters_do_not_depend_on_the_latent():
    parts = [likelihoods.Normal([2], scale=None), likelihoods.Categorical(3)]
    likelihood = likelihoods.Columns([*parts, likelihoods.NegativeBinomial([1])])
    spread = likelihood.spread_parameters()
    assert spread.tolist() == [0, 0, 1, 1, 0, 0, 0, 0, 1]
    layer = LinearDecoder(likelihood.parameter_shape, spread)
    z = tf.random.stateless_normal([5, 4], [0, 1])
    layer(z)
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=[4, 6]), rng.normal(size=[9])
    layer.set_weights([kernel, bias])
    full = np.zeros([4, 9])
    full[:, ~spread] = kernel
    np.testing.assert_allclose(layer(z), z.numpy() @ full + bias, rtol=1e-5, atol=1e-5)
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    again(z)
    again.set_weights([kernel, bias])
    np.testing.assert_array_equal(again(z), layer(z))


def test_parameters_have_their_shape():
    likelihood = likelihoods.Normal([3], scale=None)
    assert likelihood.spread_parameters().tolist() == [[False] * 3, [True] * 3]
    layer = LinearDecoder(likelihood.parameter_shape, likelihood.spread_parameters())
    assert layer(tf.zeros([4, 2])).shape == layer.compute_output_shape((4, 2)) == (4, 2, 3)
    assert [w.shape for w in layer.weights] == [(2, 3), (6,)]
    assert not likelihoods.Normal([3]).spread_parameters().any()
    with pytest.raises(UserError, match=r"shape of the parameters, \[2, 3\]"):
        LinearDecoder([2, 3], [True, False])
