"""Refined posteriors maximise the ELBO of each example."""

import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tests.linear_gaussian import LATENT_DIM, SCALE, LinearGaussian
from tf_mvae import MMVAE, UserError
from tf_mvae.posteriors import DiagonalGaussian, refined

ROWS = 6


def exact(weights, biases, values):
    """Returns the mean and the precision of the posterior of a linear-Gaussian model."""
    weight, bias, value = np.concatenate(weights), np.concatenate(biases), np.concatenate(values, 1)
    precision = np.eye(LATENT_DIM) + weight.T @ weight / SCALE**2
    return np.linalg.solve(precision, weight.T @ (value - bias).T / SCALE**2).T, precision


def dense_case():
    """Returns a decoder whose columns are not at right angles, and data, for one modality."""
    rng = np.random.default_rng(3)
    weight, bias = rng.normal(size=[7, LATENT_DIM]), rng.normal(size=[7])
    return weight, bias, rng.normal(size=[ROWS, 7]) * 2


def log_likelihood(weight, bias, value):
    def of(z):
        mean = tf.einsum("kbl,dl->kbd", z, tf.constant(weight, tf.float32)) + bias.astype("f")
        return -0.5 * tf.reduce_sum((value.astype("f") - mean) ** 2, -1) / SCALE**2

    return of


def prior(rows=ROWS):
    return DiagonalGaussian(*[tf.zeros([rows, LATENT_DIM])] * 2)


def test_the_mean_is_that_of_the_exact_posterior():
    weight, bias, value = dense_case()
    found = refined(prior(), log_likelihood(weight, bias, value))
    mean, precision = exact([weight], [bias], [value])
    np.testing.assert_allclose(found.loc, mean, atol=2e-3)
    # The best diagonal Gaussian has the diagonal of the exact precision (Bishop, 2006, 10.1.2).
    expected = np.broadcast_to(1 / np.diag(precision), [ROWS, LATENT_DIM])
    np.testing.assert_allclose(found.variance(), expected, rtol=0.5)


def test_an_example_does_not_depend_on_the_others():
    weight, bias, value = dense_case()
    whole = refined(prior(), log_likelihood(weight, bias, value), 20)
    alone = refined(prior(2), log_likelihood(weight, bias, value[2:4]), 20)
    np.testing.assert_allclose(whole.loc[2:4], alone.loc, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def linear():
    return LinearGaussian()


@pytest.mark.parametrize("names", [["x0"], ["x1", "x4"], []])
def test_latents_of_a_model_are_refined_from_wrong_experts(linear, names):
    model = linear.model(posterior_scale=3.0)
    x = linear.sample(ROWS)
    given = {name: x[name] for name in names} or {"x0": x["x0"]}
    mask = None if names else {"x0": np.zeros(ROWS)}
    found = model.latent_distribution(given, mask, latents="refined")
    parts = [(linear.weights[n], linear.biases[n], x[n]) for n in names]
    mean, _ = exact(*zip(*parts, strict=True)) if names else (np.zeros([ROWS, LATENT_DIM]), None)
    np.testing.assert_allclose(found.mean(), mean, atol=5e-3)
    assert names == [] or np.abs(model.posterior(given).mean() - mean).max() > 0.05


def test_the_model_may_refine_by_default(linear):
    model, x = linear.model(posterior_scale=3.0), linear.sample(ROWS)
    given = {"x0": x["x0"]}
    refined_ones = model.generate(given, 3, seed=0, latents="refined")["x1"]
    model.default_latents = "refined"
    np.testing.assert_array_equal(model.generate(given, 3, seed=0)["x1"], refined_ones)
    before = model.generate(given, 3, seed=0, latents="posterior")["x1"]
    assert np.abs(before - refined_ones).max() > 0.05

    for wrong, said in (("sampler", "has no sampler"), ("refine", "latents must be one of")):
        model.default_latents = wrong
        with pytest.raises(UserError, match=said):
            model.generate(given, 3)


def test_a_mixture_is_refused():
    model = tiny.make_any(MMVAE)
    batch = tiny.make_batch()
    with pytest.raises(UserError, match="one Gaussian"):
        model.generate(batch["x"], 2, latents="refined")
