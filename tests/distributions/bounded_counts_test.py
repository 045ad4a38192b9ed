"""Samples of negative binomial distributions at the ends of the range of their parameters."""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tf_mvae import likelihoods
from tf_mvae.distributions.bounded_counts import BoundedNegativeBinomial


def test_samples_are_those_of_the_distribution():
    count, logits, seed = [0.5, 3.0, 100.0], [-2.0, 0.0, 4.0], tf.constant([1, 2])
    bounded = BoundedNegativeBinomial(count, logits=logits).sample(5, seed=seed)
    plain = tfp.distributions.NegativeBinomial(count, logits=logits).sample(5, seed=seed)
    np.testing.assert_array_equal(bounded, plain)


def test_a_sample_of_extreme_parameters_returns():
    values = np.array([-1e30, -1e3, 0.0, 1e3, 1e30], np.float32)
    parameters = np.stack(np.meshgrid(values, values)).reshape(2, -1)
    for likelihood in (
        likelihoods.NegativeBinomial([25]),
        likelihoods.ZeroInflatedNegativeBinomial([25]),
    ):
        own = np.zeros(likelihood.parameter_shape, np.float32)
        own[:2] = parameters
        sample = likelihood.distribution(own).sample(seed=tf.constant([0, 0]))
        assert np.all(np.asarray(sample) >= 0)
    unknown = BoundedNegativeBinomial(np.float32([np.nan, 1]), logits=np.float32([0, np.nan]))
    assert np.isnan(unknown.sample(seed=tf.constant([0, 0]))).all()
