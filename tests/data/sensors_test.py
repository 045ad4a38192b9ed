"""Sensors with an exact posterior, compared with the joint Gaussian of all of them."""

import keras
import numpy as np
import pytest
import scipy.stats

from tests import tiny
from tf_mvae import MVAE, experiments
from tf_mvae.data import evaluation_batches
from tf_mvae.data.sensors import LinearGaussianSensors
from tf_mvae.errors import UserError
from tf_mvae.evaluation import ImportanceSampler


@pytest.fixture
def sensors():
    return LinearGaussianSensors(4, scale=0.8, seed=3)


@pytest.fixture
def mask():
    return np.array([[1, 1, 1, 1], [0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0]], np.float32)


def test_posterior_and_likelihood_are_those_of_the_joint_gaussian(sensors, mask):
    x = sensors.sample(len(mask), seed=1)
    loc, variance = sensors.posterior(x, mask)
    likelihood = sensors.log_likelihood(x, mask)
    for row, present in enumerate(mask > 0):
        weight = sensors.weights[present].reshape(-1, 3)
        residual = (x[row] - sensors.biases)[present].reshape(-1)
        covariance = weight @ weight.T + 0.8**2 * np.eye(len(weight))
        gain = weight.T @ np.linalg.inv(covariance)
        np.testing.assert_allclose(loc[row], gain @ residual, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(np.diag(variance[row]), np.eye(3) - gain @ weight, atol=1e-9)
        expected = 0.0
        if present.any():
            normal = scipy.stats.multivariate_normal(np.zeros(len(weight)), covariance)
            expected = normal.logpdf(residual)
        np.testing.assert_allclose(likelihood[row], expected, rtol=1e-6)


def test_samples_have_the_moments_of_the_joint_gaussian(sensors):
    x = sensors.sample(40_000, seed=2).reshape(40_000, -1)
    weight = sensors.weights.reshape(-1, 3)
    expected = weight @ weight.T + 0.8**2 * np.eye(len(weight))
    np.testing.assert_allclose(x.mean(0), sensors.biases.reshape(-1), atol=0.05)
    np.testing.assert_allclose(np.cov(x.T), expected, atol=0.08)


def exact_model(number):
    """Returns the experiment's model with the weights that are exact, the paper's objective."""
    sensors = LinearGaussianSensors(number)
    (group,) = experiments.get("sensors").modalities({}, {"sensors": 0.0}, num_modalities=number)
    model = MVAE([group], latent_dim=3, num_random_subsets=2)
    gains = (sensors.weights**2).sum(1)
    to_loc = sensors.weights / gains[:, np.newaxis]  # [sensor, reading, latent]
    bias = np.concatenate(
        [
            -np.einsum("srl,sr->sl", to_loc, sensors.biases),
            np.log(sensors.scale**2 / gains),
        ],
        axis=1,
    )
    kernel = np.concatenate([to_loc, np.zeros_like(to_loc)], axis=2)
    group.expert_head.set_weights([kernel, bias[:, np.newaxis]])
    decoder = [sensors.weights.transpose(0, 2, 1), sensors.biases[:, np.newaxis]]
    group.decoder.set_weights(decoder)
    return sensors, model


def test_the_experiments_model_can_be_exact(mask):
    sensors, model = exact_model(4)
    x = sensors.sample(len(mask), seed=1)
    posterior = model.posterior({"sensors": x}, {"sensors": mask})
    loc, variance = sensors.posterior(x, mask)
    tiny.assert_close((posterior.mean(), posterior.variance()), (loc, variance), 1e-4, 1e-5)
    sampler = ImportanceSampler(model, 5, jit_compile=False)
    found = sampler({"x": {"sensors": x}, "mask": {"sensors": mask}})
    tiny.assert_close(found.log_likelihood, sensors.log_likelihood(x, mask), 1e-4, 1e-3)
    assert np.max(found.log_weight_variance) < 1e-4


def test_one_step_from_the_exact_model_has_no_gradient_on_average():
    """The exact model is the optimum of the objective for all subsets and masks."""
    sensors, model = exact_model(4)
    x = sensors.sample(4000, seed=5)
    mask = np.random.default_rng(0).integers(0, 2, [4000, 4]).astype(np.float32)
    batch = {"x": {"sensors": x}, "mask": {"sensors": mask}}
    _, gradients = tiny.gradients_of(
        lambda: model.elbo(batch, num_samples=8, seed=1).loss, model.trainable_variables
    )
    for gradient in gradients:
        assert np.abs(gradient).max() < 0.1
    wrong = [w + 0.5 for w in model.get_weights()]
    model.set_weights(wrong)
    _, gradients = tiny.gradients_of(
        lambda: model.elbo(batch, num_samples=8, seed=1).loss, model.trainable_variables
    )
    assert max(np.abs(gradient).max() for gradient in gradients) > 1


def test_splits_repeat_and_differ():
    sensors = LinearGaussianSensors(3)
    parts = {}
    for name in ("train", "validation", "test"):
        split = sensors.split(name)
        batch = next(iter(evaluation_batches(split, 50)))["x"]["sensors"].numpy()
        again = LinearGaussianSensors(3).split(name)
        assert np.array_equal(next(iter(evaluation_batches(again, 50)))["x"]["sensors"], batch)
        parts[name] = batch
    assert not np.allclose(parts["train"], parts["test"])
    with pytest.raises(UserError, match="split must be one of .*; it is 'other'"):
        sensors.split("other")


def test_the_experiment_trains():
    (group,) = experiments.get("sensors").modalities({"sensor_1": 2.0}, {}, num_modalities=3)
    assert group.likelihood_weight == (1.0, 2.0, 1.0) and group.cross_weight == (1.0, 2.0, 1.0)
    model = MVAE([group], latent_dim=3)
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=False)
    x = LinearGaussianSensors(3).sample(400)
    losses = model.fit({"sensors": x}, epochs=4, batch_size=100, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
