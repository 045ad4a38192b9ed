"""Poisson log-probabilities of counts of every size, against scipy in float64."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from tf_mvae import likelihoods
from tf_mvae.distributions.large_counts import LargePoisson


def log_prob(x, log_rate):
    x, rate = np.asarray(x, np.float64), np.exp(np.float64(log_rate))
    return x * np.float64(log_rate) - rate - scipy.special.gammaln(x + 1)


@pytest.mark.parametrize("log_rate", [0.0, 3.0, 8.0, 12.0, 14.0, 16.0, 18.0])
def test_log_probabilities_around_the_mean(log_rate):
    # Rates whose float32 is exact, of counts that are: scipy's own terms lose no digits then.
    rate = np.float32(np.round(np.exp(log_rate)))
    spread = np.arange(-40, 41, 4) / 10 * np.sqrt(rate)
    x = np.unique(np.maximum(np.round(rate + spread), 0)).astype(np.float32)
    found = LargePoisson(rate=rate).log_prob(x)
    np.testing.assert_allclose(found, scipy.stats.poisson.logpmf(x, rate), rtol=1e-4, atol=2e-3)


def test_counts_far_from_the_mean_and_gradients():
    log_rate = np.array([-90.0, -5.0, 0.5, 6.0, 9.0, 12.0, 29.0], np.float32)
    for x in (0.0, 7.0, 1000.0, 1001.0, 1e5, 1e9, 1e12):
        parameters = tf.Variable(log_rate)
        with tf.GradientTape() as tape:
            found = likelihoods.Poisson([7]).element_log_prob(parameters, [np.float32(x)] * 7)
        np.testing.assert_allclose(found, log_prob(x, log_rate), rtol=2e-4, atol=1e-3)
        gradient = tape.gradient(found, parameters)
        expected = x - np.exp(np.float64(log_rate))
        np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-3)
