"""A fitted sampler against the exact posterior of a linear-Gaussian model, and its uses."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tests.linear_gaussian import LATENT_DIM, SCALE, LinearGaussian
from tf_mvae.errors import UserError
from tf_mvae.evaluation import ImportanceSampler
from tf_mvae.ops import random
from tf_mvae.samplers import (
    CouplingFlow,
    FlowMatching,
    MixtureDensity,
    MixtureFlow,
    SamplerTrainer,
    fit,
)
from tf_mvae.serving import export_saved_model

TRUTH = LinearGaussian((3, 4, 3))
KINDS = {
    "mixture_flow": lambda: MixtureFlow(LATENT_DIM, 3, 4, 32, 32, num_components=4),
    "mixture_density": lambda: MixtureDensity(LATENT_DIM, 3, 2, width=32),
}
# The other kind's own part, a mixture, is the first one's base.
DAILY = ["mixture_flow", pytest.param("mixture_density", marks=pytest.mark.long)]


def incomplete(number, seed=0):
    """Returns examples with parts missing at random, and garbage there."""
    x = TRUTH.sample(number, seed)
    present = np.random.default_rng(seed).random([number, 3]) < 0.8
    mask = {name: present[:, i].astype(np.float32) for i, name in enumerate(TRUTH.names)}
    return {
        "x": {name: np.where(mask[name][:, None] > 0, x[name], np.nan) for name in x},
        "mask": mask,
    }


def exact_posterior(batch):
    """Returns the means and variances of p(z | observed), float64 `[batch, latent]`."""
    rows = len(batch["mask"]["x0"])
    precision, weighted = np.ones([rows, LATENT_DIM]), np.zeros([rows, LATENT_DIM])
    for name in TRUTH.names:
        there = batch["mask"][name][:, None]
        residual = np.where(there > 0, batch["x"][name] - TRUTH.biases[name], 0)
        precision += there * (TRUTH.weights[name] ** 2).sum(0) / SCALE**2
        weighted += residual @ TRUTH.weights[name] / SCALE**2
    return weighted / precision, 1 / precision


@functools.cache
def fitted_model(kind):
    """Returns a model with a fitted sampler, and the sampler's KL before fitting."""
    keras.utils.set_random_seed(0)
    model, sampler = TRUTH.model(), KINDS[kind]()
    rng = np.random.default_rng(1)
    for weight in sampler.weights:
        weight.assign(weight + 0.1 * rng.normal(size=weight.shape))
    before = kl(sampler, model, incomplete(200, seed=5))
    fit(model, incomplete(6000), sampler, 12, 100, 5e-3, verbose=0)
    return model, before


@pytest.fixture(params=DAILY)
def fitted(request):
    return fitted_model(request.param)[0]


@pytest.fixture
def flow():
    return fitted_model("mixture_flow")[0]


def kl(sampler, model, batch):
    """Returns KL(exact || sampler) in nats, averaged over examples and their subsets."""
    mean, variance = exact_posterior(batch)
    z = mean + np.sqrt(variance) * np.random.default_rng(2).normal(size=[50, *mean.shape])
    exact = -0.5 * np.sum((z - mean) ** 2 / variance + np.log(2 * np.pi * variance), axis=-1)
    context = model.context(batch["x"], batch["mask"])
    return float(np.mean(exact - sampler.log_prob(z.astype(np.float32), context)))


@pytest.mark.parametrize("kind", DAILY)
def test_the_density_becomes_the_exact_posteriors(kind):
    model, before = fitted_model(kind)
    assert before > 0.2
    assert abs(kl(model.sampler, model, incomplete(200, seed=5))) < 0.05


def test_moments_are_the_exact_posteriors(fitted):
    batch = incomplete(40, seed=6)
    mean, variance = exact_posterior(batch)
    number = 100
    z = fitted.latent_samples(batch["x"], number, batch["mask"], seed=3).numpy()
    error = np.sqrt(variance / number)
    assert np.mean(np.abs(z.mean(0) - mean) < 4 * error) > 0.97
    ratio = np.log(z.var(0) / variance)
    assert np.mean(np.abs(ratio) < 4 * np.sqrt(2 / number)) > 0.97


def test_nothing_given_is_the_prior(fitted):
    z = fitted.sampler.sample(4000, fitted._blank_context(), 7).numpy()[:, 0]
    np.testing.assert_allclose(z.mean(0), 0, atol=0.2)
    np.testing.assert_allclose(z.std(0), 1, atol=0.15)
    assert fitted.sample(5)["x0"].shape == (5, 3)


def test_importance_sampling_with_it_is_exact_on_average(flow):
    x = TRUTH.sample(6, seed=8)
    importance = ImportanceSampler(flow, 1000, jit_compile=False, proposal=flow.sampler)
    found = importance({"x": x}, ["x0", "x1"])
    exact = [TRUTH.log_prob(x, row, ["x0", "x1"]) for row in range(6)]
    np.testing.assert_allclose(found.log_likelihood, exact, atol=0.02)
    assert np.all(found.effective_sample_size > 700)
    found = importance.conditional({"x": x}, ["x0"], ["x2"])
    exact = [
        TRUTH.log_prob(x, row, ["x0", "x2"]) - TRUTH.log_prob(x, row, ["x2"]) for row in range(6)
    ]
    np.testing.assert_allclose(found.log_likelihood, exact, atol=0.05)


def test_saved_loaded_and_exported_it_is_the_same(flow, tmp_path):
    x = {"x0": TRUTH.sample(4, seed=9)["x0"]}
    expected = flow.generate(x, 3, seed=(4, 5))
    flow.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for name, value in loaded.generate(x, 3, seed=(4, 5)).items():
        np.testing.assert_allclose(value, expected[name], atol=1e-5)
    export_saved_model(flow, tmp_path / "exported")
    signatures = tf.saved_model.load(str(tmp_path / "exported")).signatures
    draw = {"num_samples": 3, "seed": [4, 5], "temperature": 1.0}
    draw = {k: tf.constant(v) for k, v in draw.items()}
    given = {
        name: tf.constant(x.get(name, np.zeros([4, len(TRUTH.biases[name])], np.float32)))
        for name in TRUTH.names
    }
    given |= {f"{name}_mask": tf.fill([4], float(name in x)) for name in TRUTH.names}
    answer = signatures["generate"](**given, **draw)
    for name, value in expected.items():
        np.testing.assert_allclose(answer[name], value, atol=1e-4)
    answer = signatures["sample"](**draw)
    for name, value in flow.sample(3, seed=(4, 5)).items():
        np.testing.assert_allclose(answer[name], value, atol=1e-4)
    answer = signatures["serving_default"](**given)
    for name, value in flow(x).items():
        np.testing.assert_allclose(answer[name], value, atol=1e-4)


def test_training_the_model_leaves_it_alone_and_it_can_be_taken_off(flow):
    weights = flow.sampler.get_weights()
    number = len(flow.trainable_variables)
    assert number == len(flow.variables) - len(flow.sampler.variables)
    x = {"x0": TRUTH.sample(4)["x0"]}
    q = flow.latent_samples(x, 2, seed=1, latents="posterior")
    assert not np.allclose(q, flow.latent_samples(x, 2, seed=1), atol=1e-3)
    sampler = flow.sampler
    flow.set_sampler(None)
    np.testing.assert_array_equal(flow.latent_samples(x, 2, seed=1), q)
    assert "sampler" not in flow.get_config()
    flow.set_sampler(sampler)
    np.testing.assert_array_equal(weights[0], flow.sampler.get_weights()[0])


def test_resampling_draws_from_the_models_own_posterior():
    model = TRUTH.model(posterior_scale=1.4)  # its q is not exact
    x = {"x1": TRUTH.sample(3, seed=9)["x1"]}
    batch = {"x": dict(TRUTH.sample(3), **x), "mask": dict.fromkeys(TRUTH.names, np.zeros(3))}
    batch["mask"]["x1"] = np.ones(3)
    mean, variance = exact_posterior(batch)
    z, size = model.resampled_latents(x, 400, 4000, seed=1)
    assert np.all((size > 500) & (size < 4000))
    error = np.sqrt(variance / 400)
    assert np.all(np.abs(z.numpy().mean(0) - mean) < 4 * error)
    assert np.all(np.abs(np.log(z.numpy().var(0) / variance)) < 4 * np.sqrt(2 / 400))
    found = model.generate(x, 5, seed=(1, 0), resample=50)
    assert found["x0"].shape == (5, 3, 3) and found["effective_sample_size"].shape == (3,)
    with pytest.raises(UserError, match="leave temperature out"):
        model.generate(x, 5, temperature=0.5, resample=50)


def test_what_is_missing_is_a_mean_over_samples():
    model = tiny.make_model()
    batch = tiny.make_batch()
    plain = model(batch)
    sampler = CouplingFlow(tiny.LATENT_DIM, 3, 2, units=8, width=8)
    rng = np.random.default_rng(0)
    for weight in sampler.weights:
        weight.assign(rng.normal(size=weight.shape))
    model.set_sampler(sampler)
    found = model(batch)
    with random.common_numbers():
        z = model.latent_samples(batch["x"], 16, batch["mask"])
    expected = tf.reduce_mean(model.from_latent(z)["label"], axis=0)
    there = batch["mask"]["label"][:, None] > 0
    expected = np.where(there, plain["label"], expected)
    np.testing.assert_allclose(found["label"], expected, atol=1e-5)
    np.testing.assert_array_equal(found["z"], plain["z"])


@pytest.mark.parametrize(
    "make",
    [
        lambda: CouplingFlow(LATENT_DIM, 3, 2, units=8, width=8),
        lambda: FlowMatching(LATENT_DIM, 3, 8, 1, num_clusters=3, width=8),
    ],
    ids=["coupling_flow", "flow_matching"],
)
def test_two_replicas_take_the_step_of_one(make):
    def after_steps(strategy):
        keras.utils.set_random_seed(0)
        with strategy.scope():
            model = TRUTH.model()
            sampler = make()
            trainer = SamplerTrainer(model, sampler)
            trainer.compile(keras.optimizers.SGD(0.1), jit_compile=False)
        trainer.fit(incomplete(32), batch_size=16, epochs=1, shuffle=False, verbose=0)
        return sampler.get_weights()

    one = after_steps(tf.distribute.get_strategy())
    # Not TensorFlow's collectives, whose keys several strategies of a process may share.
    reduction = tf.distribute.ReductionToOneDevice()
    two = after_steps(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], reduction))
    for first, second in zip(one, two, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)


def test_wrong_arguments_are_named():
    model = TRUTH.model()
    sampler = CouplingFlow(LATENT_DIM, 3, 1, units=4, width=4)
    with pytest.raises(UserError, match="add up to more than 1"):
        SamplerTrainer(model, sampler, empty_probability=0.9, full_probability=0.9)
    with pytest.raises(UserError, match="epochs must be"):
        fit(model, incomplete(4), epochs=0)


def test_early_stopping_keeps_the_best_epoch():
    model, held_out = tiny.make_model(), tiny.make_batch(seed=5)
    sampler = CouplingFlow(model.latent_dim, model.num_columns, 2, units=8, width=8)
    best = keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True)
    how = {"validation_data": held_out, "callbacks": [best], "verbose": 0, "jit_compile": False}
    history = fit(model, tiny.make_batch(), sampler, 30, 8, 0.05, **how).history["val_loss"]
    assert np.argmin(history) < len(history) - 1 < 29
    trainer = SamplerTrainer(model, model.sampler)
    trainer.compile(jit_compile=False)
    loss, _ = trainer.evaluate(held_out, verbose=0)
    np.testing.assert_allclose(loss, min(history), rtol=1e-5)
