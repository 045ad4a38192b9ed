"""The kinds of samplers that are defined in the benchmark."""

import importlib

import numpy as np
import pytest
import tensorflow as tf

from tests.samplers.samplers_test import COLUMNS, SEED, make_context, shaken

LATENT = 4
MOMENTS = {"mean": np.arange(LATENT), "variance": np.arange(LATENT) + 1.0}
FLOWS = {
    "AutoregressiveFlow": {},
    "ActiveFlow": {"active": [1, 3]},
    "StandardisedFlow": MOMENTS,
}


@pytest.fixture
def kinds(scripts):
    return importlib.import_module("sampler_kinds")


def flow_of(kinds, name):
    flow = getattr(kinds, name)(LATENT, COLUMNS, units=8, width=8, **FLOWS[name])
    return shaken(flow, scale=0.1)


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_is_the_inverse_of_its_inverse_with_the_volume_of_its_jacobian(kinds, name):
    posterior = flow_of(kinds, name).of(make_context(LATENT))
    noise = tf.random.stateless_normal([1, 8, LATENT], SEED)
    z, log_volume = posterior.forward(noise)
    back, log_inverse = posterior.inverse(z)
    np.testing.assert_allclose(back, noise, atol=1e-4)
    np.testing.assert_allclose(log_inverse, -log_volume, atol=1e-4)
    step = 1e-2 * np.eye(LATENT, dtype=np.float32)[:, np.newaxis]  # [number, 1, number]
    more, less = (posterior.forward(noise + sign * step)[0].numpy() for sign in (1, -1))
    jacobian = np.moveaxis(more - less, 0, -1) / 2e-2  # [row, out, in]
    np.testing.assert_allclose(log_volume[0], np.linalg.slogdet(jacobian)[1], atol=1e-2)


def test_only_active_dimensions_are_moved(kinds):
    flow = flow_of(kinds, "ActiveFlow")
    features = flow.features(make_context(LATENT))
    noise = tf.random.stateless_normal([1, 8, LATENT], SEED)
    moved = flow.forward(noise, features)[0].numpy()
    changed = np.any(moved != noise.numpy(), axis=(0, 1))
    assert changed.tolist() == [False, True, False, True]


def test_flow_matching_moves_towards_a_distribution(kinds):
    sampler = kinds.PlainMatching(2, COLUMNS, mean=[1, 0], variance=[1, 4], units=32)
    context = make_context(2)
    of = tf.function(sampler.of, autograph=False)  # as in an export
    assert not sampler.of(context).is_guided  # a model asks
    z = of(context).sample(500, SEED).numpy()
    np.testing.assert_allclose(z, sampler.sample(500, context, SEED), atol=1e-5)
    np.testing.assert_allclose(z.mean((0, 1)), [1, 0], atol=0.1)  # the field is zero at first
    target = tf.random.stateless_normal([64, 8, 2], SEED) * [0.1, 2.0] + [3.0, 0.0]

    @tf.function(autograph=False)
    def descend():
        variables = [v.value for v in sampler.trainable_variables]
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(sampler.log_prob(target, context))
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            variable.assign_sub(0.02 * gradient)

    for _ in range(100):
        descend()
    z = sampler.sample(500, context, SEED).numpy()
    np.testing.assert_allclose(z.mean((0, 1)), [3, 0], atol=0.4)
    assert z[..., 0].std() < 0.7
