"""Tests of mixtures of a point mass and another likelihood."""

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tests import tiny
from tf_mvae import MVAE, Modality, UserError, likelihoods
from tf_mvae.layers import mlp_decoder, mlp_encoder

ROWS = 20


def parameters_of(likelihood, seed=0):
    raw = np.random.default_rng(seed).normal(size=[ROWS, *likelihood.parameter_shape])
    return tf.constant(raw, tf.float32)


def apart(parameters):
    rows = parameters.numpy().astype(np.float64)
    return rows[:, :3], rows[:, 3:6], 1 / (1 + np.exp(-rows[:, 6:]))


@pytest.fixture(params=[0.0, 1.5])
def rain(request):
    """Returns gamma numbers and many equal ones, at the edge of the support or inside it."""
    likelihood = likelihoods.PointMassMixture(likelihoods.Gamma([3]), request.param)
    parameters = parameters_of(likelihood)
    log_mean, shape, share = apart(parameters)
    shape = np.logaddexp(0, shape) + 1e-3
    oracle = scipy.stats.gamma(shape, scale=np.exp(log_mean) / shape)
    return likelihood, parameters, share, oracle


def test_the_value_has_its_probability_and_others_their_density(rain):
    likelihood, parameters, share, oracle = rain
    rng = np.random.default_rng(1)
    value = np.maximum(oracle.ppf(rng.uniform(0.3, 0.95, [ROWS, 3])), 1e-6).astype(np.float32)
    is_at = rng.uniform(size=value.shape) < 0.4
    value[is_at] = likelihood.at
    each = np.where(is_at, np.log(share), np.log(1 - share) + oracle.logpdf(value))
    found = likelihood.element_log_prob(parameters, value)
    np.testing.assert_allclose(found, each, rtol=1e-3, atol=1e-3)
    whole = likelihood.distribution(parameters).log_prob(value)
    np.testing.assert_allclose(whole, each.sum(-1), rtol=1e-3, atol=3e-3)
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        total = tf.reduce_sum(likelihood.log_prob(parameters, tf.constant(value)))
    assert np.isfinite(tape.gradient(total, parameters)).all()


def test_mean_quantiles_and_samples(rain):
    likelihood, parameters, share, oracle = rain
    mean = share * likelihood.at + (1 - share) * oracle.mean()
    np.testing.assert_allclose(likelihood.expected_value(parameters), mean, rtol=1e-4)
    samples = likelihood.distribution(parameters).sample(2000, seed=[1, 2]).numpy()
    np.testing.assert_allclose((samples == likelihood.at).mean(0), share, atol=0.06)
    for probability in (0.1, 0.5, 0.9):
        found = likelihood.quantile(parameters, probability).numpy().astype(np.float64)
        # The least value below or at which there is the probability.
        for step, sign in ((1e-3, 1), (-1e-3, -1)):
            at = found + step * np.maximum(found, 1e-3)
            below = (1 - share) * oracle.cdf(at) + share * (at >= likelihood.at)
            assert (sign * (below - probability) > -2e-3).all()


def test_counts_with_more_zeros_are_the_zero_inflated_ones():
    mixture = likelihoods.PointMassMixture(likelihoods.NegativeBinomial([3]))
    inflated = likelihoods.ZeroInflatedNegativeBinomial([3])
    parameters = parameters_of(mixture)
    same = tf.reshape(parameters, [ROWS, 3, 3])
    value = tf.constant(np.random.default_rng(0).poisson(1.0, [ROWS, 3]), tf.float32)
    assert 0 < (value.numpy() == 0).mean() < 1
    found = mixture.element_log_prob(parameters, value)
    tiny.assert_close(found, inflated.element_log_prob(same, value), 1e-4, 1e-4)
    tiny.assert_close(mixture.expected_value(parameters), inflated.expected_value(same))
    for probability in (0.4, 0.9):
        one, other = mixture.quantile(parameters, probability), inflated.quantile(same, probability)
        np.testing.assert_array_equal(one, other)
    size = tf.constant(np.linspace(0.2, 3, ROWS), tf.float32)
    scaled = mixture.scaled(parameters, tf.math.log(size))
    tiny.assert_close(
        mixture.expected_value(scaled), mixture.expected_value(parameters) * size[:, tf.newaxis]
    )


def test_a_point_mass_is_a_part_of_columns_with_gaps():
    normal = likelihoods.PointMassMixture(likelihoods.Normal([2], scale=None))
    counts = likelihoods.PointMassMixture(likelihoods.Poisson([2]), at=-1.0)
    columns = likelihoods.Columns([normal, counts])
    value, there = np.float32([[0, 5, -1, 3]]), np.array([[True, False, True, True]])
    seen = columns.network_input(value, there).numpy()[0]
    np.testing.assert_allclose(seen[:4], [0, 0, 1, 0])  # numbers, and which are the point's
    np.testing.assert_allclose(seen[4:6], [0, np.log(4)], rtol=1e-6)
    np.testing.assert_array_equal(seen[6:], there[0])


def test_a_model_with_gaps_draws_the_value_and_is_saved(tmp_path):
    rng = np.random.default_rng(0)
    wet = rng.uniform(size=[12, 4]) < 0.5
    x = np.where(wet, rng.gamma(3.0, 2.0, wet.shape), 0).astype(np.float32)
    x[rng.uniform(size=x.shape) < 0.2] = np.nan
    likelihood = likelihoods.PointMassMixture(likelihoods.LogNormal([4]))
    rain = Modality("rain", likelihood, mlp_encoder([4]), mlp_decoder([12], [4]), element_mask=True)
    scalar = likelihoods.PointMassMixture(likelihoods.Normal([]), at=-1.0)
    model = MVAE([rain, Modality("one", scalar, mlp_encoder([4]), mlp_decoder([2], [4]))], 2)
    batch = {"x": {"rain": x, "one": np.where(wet[:, 0], 2.0, -1.0).astype(np.float32)}}
    loss, gradients = tiny.gradients_of(
        lambda: model.elbo(batch, seed=3, training=True).loss, model.trainable_variables
    )
    assert np.isfinite(loss) and all(np.isfinite(g).all() for g in gradients)
    seen = rain.network_input(rain.prepare(x, np.ones(12))).numpy()
    assert seen.shape == (12, 12)  # logarithms, whether they are observed, whether they are 0
    np.testing.assert_array_equal(seen[:, 8:], x == 0)
    drawn = model.sample(50, seed=1, return_samples=True)
    for name, at in (("rain", 0), ("one", -1)):
        assert 0.1 < (drawn[name].numpy() == at).mean() < 0.9
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    tiny.assert_close(loaded.elbo(batch, seed=1).elbo, model.elbo(batch, seed=1).elbo)
    filled = loaded.impute(batch, num_samples=5)["rain"].filled
    assert np.isfinite(filled).all()


def test_likelihoods_that_it_cannot_be_of_are_refused():
    for other in (
        Modality,
        likelihoods.Categorical(3),
        likelihoods.Bernoulli([2]),
        likelihoods.CensoredNormal(),
        likelihoods.Columns([likelihoods.Normal([1])]),
    ):
        with pytest.raises(UserError, match="likelihood of independent numbers"):
            likelihoods.PointMassMixture(other)
    with pytest.raises(UserError, match="at must be a finite number"):
        likelihoods.PointMassMixture(likelihoods.Normal([2]), np.nan)
