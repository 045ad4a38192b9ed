"""The signature `log_likelihood` against closed forms, `ImportanceSampler` and numpy."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from tests import tiny
from tests.linear_gaussian import LinearGaussian
from tf_mvae import CVAE, JMVAE, MVAE
from tf_mvae.evaluation import ImportanceSampler
from tf_mvae.ops import random
from tf_mvae.ops.importance import chunk_seed
from tf_mvae.serving.log_likelihood import MAX_ROWS, log_likelihood
from tf_mvae.serving.parts import Parts
from tf_mvae.serving.signatures import signatures

SEED = [3, -4]


def run(model, batch, num_samples, seed=SEED):
    """Runs the exported function, with NaN and impossible classes for missing values."""
    function = signatures(model)["log_likelihood"]
    inputs = {"num_samples": num_samples, "seed": seed}
    for name, value in batch["x"].items():
        there = np.reshape(batch["mask"][name] > 0, [-1] + [1] * (value.ndim - 1))
        if name not in model.conditions:
            inputs[name] = np.where(there, value, 99 if value.dtype == np.int32 else np.nan)
            inputs[f"{name}_mask"] = batch["mask"][name]
        else:
            inputs[name] = value
    named = {s.name: tf.constant(inputs[s.name], s.dtype) for s in function.input_signature}
    return {name: value.numpy() for name, value in function(**named).items()}


def test_exact_experts_give_the_exact_value():
    truth = LinearGaussian()
    number = 24
    present = np.random.default_rng(1).random([number, len(truth.names)]) < 0.6
    mask = {name: present[:, i].astype(np.float32) for i, name in enumerate(truth.names)}
    batch = {"x": truth.sample(number), "mask": mask}
    answer = run(truth.model(), batch, 50)
    there = [[n for n in truth.names if mask[n][row] > 0] for row in range(number)]
    exact = [truth.log_prob(batch["x"], row, names) for row, names in enumerate(there)]
    np.testing.assert_allclose(answer["log_likelihood"], exact, rtol=1e-5, atol=2e-4)
    np.testing.assert_allclose(answer["effective_sample_size"], 50, rtol=1e-4)
    np.testing.assert_allclose(answer["standard_error"], 0, atol=1e-3)


def assert_agrees(answer, expected):
    for name, value in answer.items():
        # The error of equal weights is the root of what rounding leaves.
        atol = 1e-3 if name == "standard_error" else 2e-5
        np.testing.assert_allclose(value, getattr(expected, name), rtol=1e-5, atol=atol)


@pytest.mark.parametrize(("make", "num_samples"), [(MVAE, 1100), (JMVAE, 1)])
def test_it_is_the_sampler_of_evaluation(make, num_samples):
    """For every presence pattern, in several chunks and in one."""
    model, batch = tiny.make_any(make), tiny.make_batch()
    expected = ImportanceSampler(model, num_samples)(batch, seed=SEED)
    assert_agrees(run(model, batch, num_samples), expected)


def test_given_conditions_it_is_the_targets():
    model, batch = tiny.make_any(CVAE), tiny.make_batch()
    masked = {**batch["mask"], "label": np.ones(8), "reading": np.ones(8)}
    batch = {"x": batch["x"], "mask": masked}
    answer = run(model, batch, 20)
    expected = ImportanceSampler(model, 20)(batch, target=["image"], seed=SEED)
    lacks = batch["mask"]["image"] == 0
    np.testing.assert_allclose(answer["log_likelihood"][lacks], 0, atol=1e-6)
    assert_agrees(answer, expected)


def test_numpy_in_float64_agrees():
    """Densities and sums from the decoders' outputs, in scipy's float64."""
    model, batch, number = tiny.make_model(), tiny.make_batch(), 40
    answer = run(model, batch, number)
    posterior = model.posterior(batch["x"], batch["mask"])
    loc, scale = (v.numpy().astype(np.float64) for v in (posterior.mean(), posterior.stddev()))
    seed = chunk_seed(tf.constant(SEED), 0)
    noise = random.stateless_normal([number, *loc.shape], seed).numpy().astype(np.float64)
    z = loc + scale * noise
    log_weight = scipy.stats.norm.logpdf(z).sum(-1) - scipy.stats.norm.logpdf(z, loc, scale).sum(-1)
    outputs = {
        name: value.numpy().astype(np.float64)
        for name, value in model.likelihood_parameters(tf.constant(z, tf.float32)).items()
    }
    x, mask = batch["x"], batch["mask"]
    probability = scipy.special.expit(outputs["image"])
    pixels = x["image"] * np.log(probability) + (1 - x["image"]) * np.log1p(-probability)
    classes = scipy.special.log_softmax(outputs["label"], -1)
    log_weight += mask["image"] * pixels.sum((-1, -2, -3))
    log_weight += mask["label"] * classes[:, np.arange(8), x["label"]]
    readings = scipy.stats.norm.logpdf(x["reading"], outputs["reading"], 0.7)
    log_weight += mask["reading"] * readings.sum(-1)
    weight = np.exp(log_weight)
    expected = {
        "log_likelihood": np.log(weight.mean(0)),
        "standard_error": weight.std(0) / weight.mean(0) / np.sqrt(number),
        "effective_sample_size": weight.sum(0) ** 2 / (weight**2).sum(0),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(answer[name], value, rtol=2e-4, atol=2e-5)


def test_it_never_decodes_more_than_it_may_at_a_time(tiny_model):
    batch, parts, shapes = tiny.make_batch(), Parts(tiny_model), []

    def log_prob(z, prepared, mask):
        shapes.append(z.shape)
        return tf.zeros(z.shape[:-1])

    parts.log_prob = log_prob
    x, mask = (tf.nest.map_structure(tf.constant, batch[part]) for part in ("x", "mask"))
    answer = log_likelihood(parts, x, mask, tf.constant(2000), tf.constant(SEED))
    assert len(shapes) == 4
    assert max(shape[0] * shape[1] for shape in shapes) <= MAX_ROWS
    assert sum(shape[0] for shape in shapes) >= 2000
    assert np.max(answer["effective_sample_size"]) <= 2000 * (1 + 1e-5)


def test_no_samples_are_refused(tiny_model):
    with pytest.raises(tf.errors.InvalidArgumentError, match="num_samples must be at least 1"):
        run(tiny_model, tiny.make_batch(), 0)
