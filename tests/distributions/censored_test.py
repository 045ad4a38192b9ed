"""Tests of likelihoods of censored times against scipy."""

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tests import tiny
from tf_mvae import MVAE, Modality, UserError, likelihoods
from tf_mvae.batch import check_arrays
from tf_mvae.layers import mlp_encoder

ROWS = 30


def softplus(x):
    return np.logaddexp(0, x)


FAMILIES = {
    "CensoredNormal": lambda a, b: scipy.stats.norm(a, softplus(b) + 1e-3),
    "CensoredWeibull": lambda a, b: scipy.stats.weibull_min(softplus(b) + 0.05, scale=np.exp(a)),
}


@pytest.fixture(params=FAMILIES)
def family(request):
    likelihood = getattr(likelihoods, request.param)([3])
    raw = np.random.default_rng(1).normal(size=[ROWS, 2, 3])
    raw[:, 1] += 1
    exact = raw.astype(np.float32).astype(np.float64)
    oracle = FAMILIES[request.param](exact[:, 0], exact[:, 1])
    return likelihood, tf.constant(raw, tf.float32), oracle


def test_events_have_their_density_and_censored_times_the_probability_of_later_ones(family):
    likelihood, parameters, oracle = family
    rng = np.random.default_rng(2)
    time = oracle.ppf(rng.uniform(0.02, 0.98, [ROWS, 3])).astype(np.float32)
    event = rng.integers(2, size=[ROWS, 3])
    value = np.stack([time, event], -1).astype(np.float32)
    assert likelihood.event_shape == (3, 2) and 10 < event.sum() < 80
    expected = np.where(event == 1, oracle.logpdf(time), oracle.logsf(time)).sum(-1)
    found = likelihood.log_prob(parameters, value)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def test_numbers_far_from_the_mean_have_gradients():
    """Also at the ends of the range, with the least scale: 1e10 standard deviations."""
    likelihood = likelihoods.CensoredNormal()
    for distance in (-1e3, 20.0, 990.0, 1010.0, 1e5):
        found = likelihood.log_prob(tf.constant([[0.0, 20.0]]), [[distance * 20.001, 0.0]])
        np.testing.assert_allclose(found, scipy.stats.norm.logsf(distance), rtol=1e-5, atol=1e-6)
    for time in (-1e7, 0.0, 1e7):
        for loc in (-1e7, 0.0, 1e7):
            for event in (0.0, 1.0):
                parameters = tf.Variable([[loc, -100.0]])
                with tf.GradientTape() as tape:
                    found = likelihood.log_prob(parameters, [[time, event]])
                assert np.isfinite(found) and np.isfinite(tape.gradient(found, parameters)).all()


def test_mean_quantiles_and_samples_are_those_of_times_of_events(family):
    likelihood, parameters, oracle = family
    mean = likelihood.expected_value(parameters).numpy()
    np.testing.assert_allclose(mean[..., 0], oracle.mean(), rtol=1e-4)
    np.testing.assert_array_equal(mean[..., 1], 1)
    quantile = likelihood.quantile(parameters, 0.9).numpy()
    np.testing.assert_allclose(quantile[..., 0], oracle.ppf(0.9), rtol=1e-4, atol=1e-5)
    samples = likelihood.distribution(parameters).sample(1000, seed=[3, 4]).numpy()
    assert samples.shape == (1000, ROWS, 3, 2) and (samples[..., 1] == 1).all()
    share = (samples[..., 0] <= oracle.ppf(0.25)).mean(0)
    assert np.abs(share - 0.25).max() < 5 * np.sqrt(0.25 / 1000)


def test_the_gradients_of_extreme_values_are_finite(family):
    likelihood, parameters, _ = family
    parameters = parameters * 40  # far from any data
    value = np.stack([np.full([ROWS, 3], 50.0), np.arange(ROWS * 3).reshape(ROWS, 3) % 2], -1)
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        log_prob = likelihood.log_prob(parameters, value.astype(np.float32))
    assert np.isfinite(log_prob).all() and np.isfinite(tape.gradient(log_prob, parameters)).all()


def test_scale_and_shape_are_found_from_censored_times():
    """A third of the times is censored; treating them as events would make the scale too small."""
    rng = np.random.default_rng(0)
    time, end = 4.0 * rng.weibull(2.0, size=2000), rng.uniform(2, 8, size=2000)
    pairs = np.stack([np.minimum(time, end), time <= end], 1).astype(np.float32)
    assert 0.2 < (time > end).mean() < 0.5
    likelihood = likelihoods.CensoredWeibull()
    parameters = tf.Variable([1.0, 1.0])
    optimizer = keras.optimizers.Adam(0.05)
    for _ in range(150):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(likelihood.log_prob(parameters[tf.newaxis], pairs))
        optimizer.apply([tape.gradient(loss, parameters)], [parameters])
    np.testing.assert_allclose(np.exp(parameters[0]), 4.0, rtol=0.05)
    np.testing.assert_allclose(softplus(parameters[1].numpy()) + 0.05, 2.0, rtol=0.08)


def test_a_model_has_times_among_its_modalities_and_is_saved(tmp_path):
    survival = Modality("survival", likelihoods.CensoredWeibull(), mlp_encoder([4]))
    model = MVAE([survival, Modality("group", likelihoods.Categorical(2), mlp_encoder([4], 2))], 2)
    x = {"survival": np.array([[1.0, 1], [2.0, 0], [3.0, 1]], np.float32), "group": [0, 1, 1]}
    batch = {"x": x, "mask": {"survival": [1.0, 1.0, 0.0]}}
    bound = model.elbo(batch, seed=1).elbo
    assert np.isfinite(bound).all()
    seen = survival.network_input(survival.prepare(x["survival"], np.ones(3)))
    np.testing.assert_allclose(seen[1], [np.log(2), 0], rtol=1e-6)
    filled = model.impute(batch, num_samples=5)["survival"].filled
    np.testing.assert_array_equal(filled[:2], x["survival"][:2])
    assert filled[2, 0] > 0 and filled[2, 1] == 1
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    tiny.assert_close(loaded.elbo(batch, seed=1).elbo, bound)


def test_what_is_no_pair_is_refused():
    modality = Modality("t", likelihoods.CensoredWeibull())
    for bad in ([[0.0, 1.0]], [[1.0, 2.0]], [[1.0, 0.5]], [[np.nan, 1.0]]):
        with pytest.raises(UserError, match="pairs of a time"):
            check_arrays({"x": {"t": np.array(bad, np.float32)}}, [modality])
    tiny.assert_close(
        check_arrays({"x": {"t": np.ones([1, 2])}}, [modality])["mask"], {"t": np.ones([1])}
    )
    with pytest.raises(UserError, match="as a whole"):
        Modality("t", likelihoods.CensoredNormal(), element_mask=True)
    with pytest.raises(UserError, match="cannot be a part"):
        likelihoods.Columns([likelihoods.CensoredNormal()])
