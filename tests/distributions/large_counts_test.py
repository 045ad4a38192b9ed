"""Probabilities and quantiles of counts of every size, against scipy in float64."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from tf_mvae import likelihoods
from tf_mvae.distributions.bounded_counts import BoundedNegativeBinomial
from tf_mvae.distributions.large_counts import LargePoisson
from tf_mvae.distributions.quantiles import quantile


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


PROBABILITIES = [0.025, 0.5, 0.975]
MEANS = [0.3, 30.0, 9e3, 1.1e4, 1e6, 1e8]


@pytest.mark.parametrize("mean", MEANS)
def test_quantiles_of_a_poisson_distribution(mean):
    rate = np.float32(mean)
    oracle = scipy.stats.poisson(np.float64(rate))
    counts = LargePoisson(rate=rate)
    found = [quantile(counts, probability) for probability in PROBABILITIES]
    np.testing.assert_allclose(found, oracle.ppf(PROBABILITIES), rtol=1e-6)
    x = np.float32(np.maximum(np.round(rate + np.linspace(-5, 5, 41) * np.sqrt(rate)), 0))
    np.testing.assert_allclose(counts.cdf(x), oracle.cdf(np.float64(x)), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(counts.cdf([-1.0, -0.5]), 0)
    assert counts.cdf(2.7) == counts.cdf(2.0)


@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("number", [0.1, 10.0, 1e6])
def test_quantiles_of_a_negative_binomial_distribution(mean, number):
    number, logit = np.float32(number), np.float32(np.log(mean / number))
    counts = BoundedNegativeBinomial(number, logits=logit)
    oracle = scipy.stats.nbinom(np.float64(number), scipy.special.expit(-np.float64(logit)))
    found = [quantile(counts, probability) for probability in PROBABILITIES]
    # A probability in float32 is exact to 3e-8, and the quantile then to so much.
    np.testing.assert_allclose(found, oracle.ppf(PROBABILITIES), rtol=2e-5)
    np.testing.assert_array_equal(counts.cdf([-1.0, -0.5]), 0)
