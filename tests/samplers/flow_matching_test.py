"""Flow matching: what it fits, its guidance, and its clusters."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.linear_gaussian import LATENT_DIM, LinearGaussian
from tf_mvae.errors import UserError
from tf_mvae.posteriors import Context
from tf_mvae.samplers import FlowMatching, fit
from tf_mvae.samplers.clusters import Clusters
from tf_mvae.serving import export_saved_model

SEED = tf.constant([3, 4])
TRUTH = LinearGaussian((3, 4, 3))


def small(latent=LATENT_DIM, columns=3, **how):
    return FlowMatching(latent, columns, 64, 2, num_steps=8, num_clusters=4, width=32, **how)


def two_groups(number, seed=0):
    """Returns contexts and latents: one column says which of two groups a latent is in, or not.

    The groups' means are -2 and 2, their standard deviation 0.3.
    """
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 2, number)
    given = rng.random(number) < 0.5
    z = 4.0 * group[:, None] - 2 + 0.3 * rng.normal(size=[number, 2])
    return context_of(group, given), tf.constant(z, tf.float32)


def context_of(group, given):
    loc = np.repeat(2.0 * np.asarray(group)[:, None] - 1, 2, axis=1).astype(np.float32)
    subset = np.asarray(given, np.float32)[:, None]
    # A kind of q may have a prior of its own where nothing is given.
    q = np.where(subset > 0, loc, 7.0)
    return Context(q, 0 * loc, loc[:, None], 0 * loc[:, None], subset)


@pytest.fixture(scope="module")
def fitted():
    """Returns a sampler that was fitted to `two_groups`."""
    keras.utils.set_random_seed(0)
    sampler = small(2, 1)
    optimizer = keras.optimizers.Adam(3e-3)
    optimizer.build(sampler.trainable_variables)

    @tf.function(autograph=False, jit_compile=True)
    def step(context, z, seed):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(sampler.loss(context, z, seed))
        variables = sampler.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)

    for index in range(600):
        context, z = two_groups(256, index)
        context = tf.nest.map_structure(
            tf.constant, context._replace(covariates=np.zeros([256, 0]))
        )
        step(context, z, tf.constant([index, 0]))
        sampler.observe(z, tf.ones([256]), index == 0, tf.constant([index, 1]))
    return sampler


def test_samples_are_those_of_each_group_and_of_both(fitted):
    z = fitted.sample(500, context_of([0, 1, 0], [1, 1, 0]), SEED).numpy()
    np.testing.assert_allclose(z[:, :2].mean(0), [[-2, -2], [2, 2]], atol=0.2)
    np.testing.assert_allclose(z[:, :2].std(0), 0.3, atol=0.12)
    nothing = z[:, 2].mean(-1)
    assert 0.4 < np.mean(nothing > 0) < 0.6
    assert np.mean(np.abs(np.abs(nothing) - 2) < 0.7) > 0.9


def test_the_density_is_near_that_of_the_latents(fitted):
    context = context_of([0, 1], [1, 1])
    _, z = two_groups(400, seed=99)
    z = z.numpy()
    one = z[z[:, 0] < 0][:, None]
    found = fitted.log_prob(np.concatenate([one, -one], axis=1), context)
    exact = -np.log(2 * np.pi * 0.09) - ((one[:, 0] + 2) ** 2).sum(-1) / 0.18
    assert abs(np.mean(exact) - np.mean(found)) < 0.3
    # Of nothing, both groups are equally likely.
    nothing = fitted.log_prob(one, context_of([0], [0])).numpy()[:, 0]
    np.testing.assert_allclose(np.mean(found[:, 0] - nothing), np.log(2), atol=0.3)


def test_guidance_favours_what_is_given(fitted):
    posterior = fitted.of(context_of([0, 1], [1, 1]))
    plain, guided = (posterior.guided_sample(400, SEED, None, g).numpy() for g in (1, 4))
    np.testing.assert_array_equal(plain, posterior.sample(400, SEED))
    # One group's guided latents are further from the other group.
    assert np.all(guided[:, 1].mean(0) > plain[:, 1].mean(0))
    assert np.all(guided[:, 0].mean(0) < plain[:, 0].mean(0))


def test_guidance_of_nothing_is_to_clusters(fitted):
    posterior = fitted.of(context_of([0], [0]))
    plain, guided = (posterior.guided_sample(1000, SEED, None, g).numpy()[:, 0] for g in (1, 2))
    between = [np.mean(np.abs(z.mean(-1)) < 1.2) for z in (plain, guided)]
    assert between[1] <= between[0] and between[1] < 0.02
    assert 0.4 < np.mean(guided[:, 0] > 0) < 0.6


def test_with_covariates_nothing_is_guided_to_no_cluster():
    sampler = small(2, 1, num_covariates=1)
    for weight in sampler.weights:
        weight.assign(0.3 * np.random.default_rng(0).normal(size=weight.shape))
    context = context_of([0, 1], [0, 1])._replace(covariates=np.ones([2, 1], np.float32))
    plain, guided = (sampler.of(context).guided_sample(5, SEED, None, g).numpy() for g in (1, 3))
    np.testing.assert_allclose(guided[:, 0], plain[:, 0], atol=1e-4)
    assert not np.allclose(guided[:, 1], plain[:, 1], atol=1e-2)


def observe_groups(clusters, shift):
    """Shows batches of two groups, a quarter of the latents 10 above the others."""
    rng = np.random.default_rng(0)
    for index in range(20):
        group = (rng.random(100) < 0.25).astype(np.float32)
        z = shift + 10 * group[:, None] + rng.normal(size=[100, 2])
        # What does not count has no effect.
        z = np.concatenate([z, np.full([5, 2], 1e3)]).astype(np.float32)
        weight = tf.constant([1.0] * 100 + [0.0] * 5)
        clusters.observe(tf.constant(z), weight, index == 0, tf.constant([index, 0]))


@pytest.mark.parametrize("fits", [1, 2])  # the second one begins anew
def test_clusters_are_groups_and_drawn_as_often(fits):
    clusters = Clusters(8, 2)
    for fitted in range(fits):
        observe_groups(clusters, 50 * (fits - 1 - fitted))
    assert clusters.counts.numpy().sum() == pytest.approx(2000)
    drawn = tf.gather(clusters.centres, clusters.draw(tf.constant([4000, 1]), SEED)[:, 0]).numpy()
    assert np.mean(drawn[:, 0] > 5) == pytest.approx(0.25, abs=0.05)
    near = np.minimum(np.abs(drawn).max(-1), np.abs(drawn - 10).max(-1))
    assert np.mean(near < 3) > 0.95


def test_it_is_fitted_used_saved_and_exported(tmp_path):
    keras.utils.set_random_seed(0)
    model = TRUTH.model()
    data = {"x": TRUTH.sample(200)}
    history = fit(model, data, small(guidance=2.5), epochs=2, batch_size=50, verbose=0)
    assert set(history.history) == {"loss"} and not model.sampler.trainable
    assert model.proposing_sampler is None
    x = {"x0": TRUTH.sample(4, seed=9)["x0"]}
    usual = model.generate(x, 3, seed=(4, 5))
    same, other = (model.generate(x, 3, seed=(4, 5), guidance=g)["x1"] for g in (2.5, 1))
    np.testing.assert_array_equal(usual["x1"], same)
    assert not np.allclose(same, other)
    assert not np.allclose(
        model.sample(3, seed=(4, 5))["x1"], model.sample(3, seed=(4, 5), guidance=1)["x1"]
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.generate(x, 3, seed=(4, 5))["x1"], same, atol=1e-5)
    export_saved_model(model, tmp_path / "exported")
    signatures = tf.saved_model.load(str(tmp_path / "exported")).signatures
    draw = {"num_samples": 3, "seed": [4, 5], "temperature": 1.0}
    draw = {name: tf.constant(value) for name, value in draw.items()}
    blank = {name: np.zeros([4, len(bias)], np.float32) for name, bias in TRUTH.biases.items()}
    given = {name: tf.constant(x.get(name, blank[name])) for name in blank}
    given |= {f"{name}_mask": tf.fill([4], float(name in x)) for name in blank}
    served = signatures["generate"](**given, **draw)
    np.testing.assert_allclose(served["x1"], same, atol=1e-4)
    drawn = signatures["sample"](**draw)["x1"]
    np.testing.assert_allclose(drawn, model.sample(3, seed=(4, 5))["x1"], atol=1e-4)
    # Likelihoods are estimated with q alone.
    ask = {"num_samples": tf.constant(50), "seed": tf.constant([4, 5])}
    with_sampler = signatures["log_likelihood"](**given, **ask)["log_likelihood"]
    model.set_sampler(None)
    export_saved_model(model, tmp_path / "plain")
    plain = tf.saved_model.load(str(tmp_path / "plain")).signatures["log_likelihood"]
    np.testing.assert_allclose(plain(**given, **ask)["log_likelihood"], with_sampler, rtol=1e-5)


def test_wrong_arguments_are_named():
    with pytest.raises(UserError, match="guidance must be a finite number of 0 or more"):
        small(guidance=-1)
    with pytest.raises(UserError, match="num_clusters must be"):
        FlowMatching(2, 3, num_clusters=0)
