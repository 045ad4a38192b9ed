"""Posteriors against TFP, their definitions and each other."""

import itertools

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from tests import tiny
from tf_mvae.errors import UserError
from tf_mvae.posteriors import (
    DiagonalGaussian,
    Encoded,
    FirstExpert,
    MixtureOfExperts,
    MixtureOfProducts,
    Product,
    Quotient,
)
from tf_mvae.posteriors.mixtures import component_subsets

LATENT, COLUMNS = 3, 3
SEED = tf.constant([3, 4])


def experts(rows=8, seed=0):
    rng = np.random.default_rng(seed)
    loc = rng.normal(size=[rows, COLUMNS, LATENT]).astype(np.float32)
    log_variance = rng.normal(-0.5, 0.7, size=[rows, COLUMNS, LATENT]).astype(np.float32)
    return Encoded(DiagonalGaussian(tf.constant(loc), tf.constant(log_variance)))


def every_kind_of_posterior():
    encoded, subset = experts(), tf.constant(tiny.all_patterns(COLUMNS))
    kinds = (Product(), Product(prior_expert=False), Quotient(), FirstExpert())
    found = {type(kind).__name__ + str(i): kind.of(encoded, subset) for i, kind in enumerate(kinds)}
    found["MixtureOfExperts"] = MixtureOfExperts().of(encoded, subset)
    found["MixtureOfProducts"] = MixtureOfProducts().of(encoded, subset)
    return found


POSTERIORS = every_kind_of_posterior()


@pytest.fixture(params=POSTERIORS)
def posterior(request):
    return POSTERIORS[request.param]


def test_density_and_moments_are_those_of_the_tfp_distribution(posterior):
    twin = posterior.distribution()
    z = tf.random.stateless_normal([5, 8, LATENT], SEED)
    np.testing.assert_allclose(posterior.log_prob(z), twin.log_prob(z), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(posterior.mean(), twin.mean(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(posterior.variance(), twin.variance(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.exp(posterior.log_variance()), posterior.variance(), rtol=1e-4)


def test_samples_have_its_moments_and_temperature_scales_them(posterior):
    number = 20000
    z = posterior.sample(number, SEED).numpy()
    error = np.sqrt(posterior.variance() / number)
    assert np.all(np.abs(z.mean(0) - posterior.mean()) < 5 * error)
    ratio = z.var(0) / posterior.variance().numpy()
    assert np.all(np.abs(ratio - 1) < 0.1)
    cold = posterior.sample(number, SEED, temperature=0.0).numpy()
    assert np.all(cold.var(0) <= z.var(0) + 1e-4)


def test_the_empty_subset_is_the_prior(posterior):
    z = tf.random.stateless_normal([50, 8, LATENT], SEED)
    prior = tfp.distributions.MultivariateNormalDiag(tf.zeros(LATENT), tf.ones(LATENT))
    np.testing.assert_allclose(posterior.log_prob(z)[:, 0], prior.log_prob(z)[:, 0], rtol=1e-5)
    np.testing.assert_array_equal(posterior.mean()[0], np.zeros(LATENT))


def test_log_ratio_is_that_of_the_densities(posterior):
    z, ratio = posterior.sample_and_log_ratio(7, SEED)
    prior = tfp.distributions.MultivariateNormalDiag(tf.zeros(LATENT), tf.ones(LATENT))
    expected = prior.log_prob(z) - posterior.distribution().log_prob(z)
    np.testing.assert_allclose(ratio, expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(z, posterior.sample(7, SEED))


def test_divergence_is_the_mean_log_ratio(posterior):
    z, ratio = posterior.sample_and_log_ratio(20000, SEED)
    kl = posterior.kl_to_prior(z)
    error = np.std(ratio, axis=0) / np.sqrt(20000)
    assert np.all(np.abs(kl + np.mean(ratio, axis=0)) < 5 * error + 1e-4)


def test_it_is_the_same_in_every_mode(posterior, mode):
    def run():
        z = posterior.sample(4, SEED)
        return z, posterior.log_prob(z), posterior.kl_to_prior(z)

    tiny.assert_close(mode(run)(), run(), 1e-5, 1e-5)


def test_terms_at_once_equal_one_after_another():
    encoded = experts()
    subset = tf.constant(np.random.default_rng(1).integers(0, 2, [4, 8, COLUMNS]), tf.float32)
    kinds = (Product(), Product(False), FirstExpert(), MixtureOfExperts(), MixtureOfProducts())
    for kind in kinds:
        together = kind.of(encoded, subset)
        for term in range(4):
            alone = kind.of(encoded, subset[term])
            tiny.assert_close(tuple(together.take(term)), tuple(alone))


def naive_product(encoded, row, members):
    precision = np.exp(-np.float64(encoded.experts.log_variances[row]))[members]
    total = precision.sum(0)
    return (precision * np.float64(encoded.experts.loc[row])[members]).sum(0) / total, 1 / total


def test_a_product_without_prior_equals_its_definition_in_float64():
    encoded, subset = experts(), tiny.all_patterns(COLUMNS)
    found = Product(prior_expert=False).of(encoded, tf.constant(subset))
    for row in range(1, 8):
        loc, variance = naive_product(encoded, row, np.flatnonzero(subset[row]))
        np.testing.assert_allclose(found.loc[row], loc, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found.variance()[row], variance, rtol=1e-4)


def test_a_mixture_of_products_has_every_subset_of_what_is_there_once():
    encoded, subset = experts(), tiny.all_patterns(COLUMNS)
    found = MixtureOfProducts().of(encoded, tf.constant(subset))
    z = np.random.default_rng(0).normal(size=[LATENT]).astype(np.float32)
    for row in range(1, 8):
        there = np.flatnonzero(subset[row])
        sizes = range(1, len(there) + 1)
        subsets = [m for size in sizes for m in itertools.combinations(there, size)]
        densities = []
        for members in subsets:
            loc, variance = naive_product(encoded, row, list(members))
            densities.append(scipy.stats.norm.logpdf(z, loc, np.sqrt(variance)).sum())
        expected = scipy.special.logsumexp(densities) - np.log(len(subsets))
        actual = found.take(row).log_prob(z[np.newaxis])
        np.testing.assert_allclose(actual, [expected], rtol=1e-4, atol=1e-4)


def test_many_modalities_have_the_single_ones_and_random_subsets_as_components():
    listed = component_subsets(9, 4, seed=0)
    assert listed.shape == (13, 9)
    assert len({tuple(row) for row in listed}) == 13
    assert np.sort(listed.sum(1))[:9].tolist() == [1.0] * 9
    np.testing.assert_array_equal(listed, component_subsets(9, 4, seed=0))
    # Six modalities have 2^6 - 2 subsets but all and nothing.
    assert component_subsets(6, 1000, seed=0).shape == (62, 6)


def test_nan_in_a_masked_expert_reaches_nothing():
    encoded, subset = experts(), tiny.all_patterns(COLUMNS)
    dirty = [np.where(subset[..., None] > 0, part, np.nan) for part in encoded.experts]
    for kind in (Product(), Product(False), MixtureOfExperts(), MixtureOfProducts()):
        clean = kind.of(encoded, tf.constant(subset))
        variables = [tf.Variable(part) for part in dirty]
        with tf.GradientTape() as tape:
            found = kind.of(Encoded(DiagonalGaussian(*variables)), tf.constant(subset))
            z = found.sample(2, SEED)
            total = tf.reduce_sum(found.log_prob(z))
        np.testing.assert_array_equal(z, clean.sample(2, SEED))
        gradients = [tf.convert_to_tensor(g) for g in tape.gradient(total, variables)]
        assert all(np.isfinite(g).all() for g in gradients), type(kind).__name__


def test_the_product_of_what_is_given_is_the_first_component_of_a_mixture_of_products():
    encoded, subset = experts(), tf.constant(tiny.all_patterns(COLUMNS))
    kind = MixtureOfProducts()
    product = kind.product(encoded, subset)
    loc, log_variance = (part.numpy() for part in encoded.experts)
    precision = np.exp(-log_variance) * subset.numpy()[..., np.newaxis]
    total = np.where(subset.numpy().any(-1)[:, np.newaxis], precision.sum(1), 1.0)  # else the prior
    np.testing.assert_allclose(product[0], (precision * loc).sum(1) / total, 1e-5, 1e-6)
    np.testing.assert_allclose(product[1], -np.log(total), 1e-5, 1e-6)
    first = kind.of(encoded, subset).loc[:, 0]
    np.testing.assert_allclose(product[0], first, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [Product(), Quotient(), FirstExpert(), MixtureOfExperts()])
def test_other_kinds_have_no_product_that_is_a_part(kind):
    with pytest.raises(UserError, match="'product' is for MoPoE"):
        kind.product(experts(), tf.ones([8, COLUMNS]))
