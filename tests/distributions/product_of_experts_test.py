"""Products of experts as distributions, and their divergence from the prior."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.tiny import all_patterns
from tf_mvae.distributions import (
    gaussian_kl_to_prior,
    gaussian_product_of_experts,
    standard_normal,
)
from tf_mvae.ops import gaussian_product

tfd = tfp.distributions
RNG = np.random.default_rng(0)
LOC = 2 * RNG.normal(size=[6, 5, 4])
LOG_VARIANCE = 2 * RNG.normal(size=[6, 5, 4])


def test_kl_equals_that_of_tfp(mode):
    posterior = tfd.MultivariateNormalDiag(LOC, np.exp(LOG_VARIANCE / 2))
    expected = tfd.kl_divergence(posterior, standard_normal(4, tf.float64))
    actual = mode(gaussian_kl_to_prior)(tf.constant(LOC), tf.constant(LOG_VARIANCE))
    assert actual.shape == [6, 5]
    np.testing.assert_allclose(actual, expected, rtol=1e-12)


def test_kl_gradient_worked_out_by_hand():
    # d/dloc = loc; d/dlog V = (V - 1) / 2.
    loc, log_variance = tf.constant(LOC), tf.constant(LOG_VARIANCE)
    with tf.GradientTape() as tape:
        tape.watch([loc, log_variance])
        kl = tf.reduce_sum(gaussian_kl_to_prior(loc, log_variance))
    gradients = tape.gradient(kl, [loc, log_variance])
    np.testing.assert_allclose(gradients[0], LOC, rtol=1e-12)
    np.testing.assert_allclose(gradients[1], np.expm1(LOG_VARIANCE) / 2, rtol=1e-12)


def test_kl_is_never_below_zero_and_zero_at_the_prior():
    # Rounding: expm1(v) - v is a difference of numbers of size |v|.
    small = np.concatenate([[0.0], np.geomspace(1e-30, 1.0, 1000)])
    log_variance = tf.constant(np.concatenate([small, -small])[:, np.newaxis], tf.float32)
    kl = gaussian_kl_to_prior(tf.zeros_like(log_variance), log_variance).numpy()
    assert np.all(kl >= -np.finfo(np.float32).eps * np.abs(log_variance.numpy()[:, 0]))
    assert kl[0] == 0
    exact = (np.expm1(1.0) - 1.0) / 2
    np.testing.assert_allclose(kl[len(small) - 1], exact, rtol=1e-6)


@pytest.mark.parametrize("latent_dim", [1, 4])
def test_prior(latent_dim):
    prior = standard_normal(latent_dim)
    assert prior.event_shape == [latent_dim] and prior.batch_shape == []
    z = RNG.normal(size=[3, latent_dim]).astype(np.float32)
    expected = -0.5 * (z**2).sum(-1) - latent_dim / 2 * np.log(2 * np.pi)
    np.testing.assert_allclose(prior.log_prob(z), expected, rtol=1e-5)


@pytest.mark.parametrize("terms", [None, 2])
def test_product_distribution(terms):
    mask = RNG.integers(2, size=[*([] if terms is None else [terms]), 6, 5]).astype(np.float64)
    product = gaussian_product_of_experts(LOC, LOG_VARIANCE, mask)
    loc, log_variance = gaussian_product(LOC, LOG_VARIANCE, mask)
    assert product.batch_shape == mask.shape[:-1] and product.event_shape == [4]
    np.testing.assert_allclose(product.mean(), loc, rtol=1e-12)
    np.testing.assert_allclose(product.variance(), np.exp(log_variance), rtol=1e-12)
    assert product.sample(3, seed=1).shape == [3, *mask.shape[:-1], 4]


def test_product_density_is_the_normalised_product_of_the_densities():
    """Log q(z) less the sum of the experts' and the prior's log-densities is constant in z."""
    z = RNG.normal(size=[7, 1, 4])
    mask = all_patterns(3).astype(np.float64)
    loc, log_variance = np.tile(LOC[:1, :3], [8, 1, 1]), np.tile(LOG_VARIANCE[:1, :3], [8, 1, 1])
    product = gaussian_product_of_experts(loc, log_variance, mask)
    experts = tfd.Normal(loc, np.exp(log_variance / 2)).log_prob(z[:, :, np.newaxis])
    in_sum = np.einsum("sbml,bm->sb", experts, mask) + standard_normal(4, tf.float64).log_prob(z)
    constant = product.log_prob(z) - in_sum
    np.testing.assert_allclose(constant - constant[:1], np.zeros([7, 8]), atol=1e-10)
