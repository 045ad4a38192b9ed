"""The functions of TensorFlow Probability that the package uses."""

import numpy as np
import tensorflow as tf
from scipy import stats

from tf_mvae.distributions import product_of_experts, tfp
from tf_mvae.inference.imputation_quantiles import sample_quantiles


def test_the_density_of_a_mixture_is_the_weighted_sum_of_its_components():
    weight = np.array([0.3, 0.7], np.float32)
    loc = np.array([[0.0, 1.0], [2.0, -1.0]], np.float32)
    z = np.array([0.5, 0.2], np.float32)
    components = product_of_experts.diagonal_normal(loc, tf.zeros([2, 2]))
    found = tfp.mixture(weight, components).log_prob(z)
    expected = np.log(
        sum(w * stats.norm.pdf(z, m).prod() for w, m in zip(weight, loc, strict=True))
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_exponential_of_normal_noise_is_log_normal():
    base = product_of_experts.standard_normal(2)
    found = tfp.transformed(
        base,
        lambda noise: (tf.exp(noise), tf.reduce_sum(noise, -1)),
        lambda z: (tf.math.log(z), -tf.reduce_sum(tf.math.log(z), -1)),
    )
    z = np.array([0.5, 2.0], np.float32)
    np.testing.assert_allclose(found.log_prob(z), stats.lognorm.logpdf(z, 1).sum(), rtol=1e-5)
    assert np.all(found.sample(10, seed=1) > 0)


def test_quantiles_of_samples_are_numpys():
    probabilities = [0.001, 0.05, 0.5, 0.9, 0.999]
    for number in (1, 20, 101):
        sample = np.random.default_rng(0).normal(size=[number, 3]).astype(np.float32)
        found = tfp.sample_quantiles(sample, tf.constant(probabilities))
        expected = np.quantile(sample, probabilities, axis=0, method="weibull")
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_quantiles_of_counts_are_those_of_imputation():
    counts = np.random.default_rng(0).poisson(30, [200, 3]).astype(np.float32)
    probabilities = np.arange(1, 80) / 80
    for number in (1, 9, 19, 100, 200):
        found = tfp.sample_quantiles(
            counts[:number], tf.constant(probabilities, tf.float32), are_counts=True
        )
        expected = sample_quantiles(counts[:number], probabilities, are_counts=True)
        np.testing.assert_array_equal(found, expected)


def test_the_least_of_a_quadratic_is_that_of_the_linear_equations():
    matrix = np.array([[3.0, 1.0], [1.0, 2.0]])
    right = np.array([1.0, -1.0])
    found = tfp.minimize(
        lambda z: tf.reduce_sum(z * tf.linalg.matvec(matrix, z)) / 2 - tf.reduce_sum(right * z),
        tf.zeros([2], tf.float64),
        tolerance=1e-9,
        steps=50,
    )
    np.testing.assert_allclose(found, np.linalg.solve(matrix, right), atol=1e-6)
