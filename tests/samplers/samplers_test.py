"""Laws that every kind of latent sampler obeys."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tf_mvae import MVAE
from tf_mvae.errors import UserError
from tf_mvae.models import CVAE
from tf_mvae.posteriors import Context, DiagonalGaussian, Encoded, Product, subset_context
from tf_mvae.samplers import CouplingFlow, FlowMatching, MixtureDensity, MixtureFlow

LATENT, COLUMNS = 2, 3
SEED = tf.constant([3, 4])
KINDS = {
    "coupling_flow": lambda latent=LATENT: CouplingFlow(latent, COLUMNS, 3, units=8, width=8),
    "flow_matching": lambda latent=LATENT: FlowMatching(
        latent, COLUMNS, units=8, width=8, num_blocks=2, num_steps=16, num_clusters=4
    ),
    "mixture_density": lambda latent=LATENT: MixtureDensity(latent, COLUMNS, 4, width=8),
    "mixture_flow": lambda latent=LATENT: MixtureFlow(
        latent, COLUMNS, 3, units=8, width=8, num_components=4
    ),
}


def shaken(sampler, scale=0.25, seed=0):
    """Returns a sampler with random weights (a new one is q(z | S), or close to it)."""
    rng = np.random.default_rng(seed)
    for weight in sampler.weights:
        weight.assign(scale * rng.normal(size=weight.shape))
    return sampler


def make_context(latent=LATENT, seed=0):
    """Returns every subset, with NaN where an expert is missing."""
    rng = np.random.default_rng(seed)
    subset = tiny.all_patterns(COLUMNS)
    shape = [len(subset), COLUMNS, latent]
    experts = [rng.normal(size=shape), rng.normal(-0.5, 0.5, size=shape)]
    encoded = Encoded(DiagonalGaussian(*(tf.constant(p, tf.float32) for p in experts)))
    found = subset_context(Product(), encoded, tf.constant(subset))
    there = subset[..., None] > 0
    hidden = {
        name: tf.where(there, getattr(found, name), np.nan)
        for name in ("expert_loc", "expert_log_variance")
    }
    return found._replace(**hidden)


@pytest.fixture(params=KINDS)
def sampler(request):
    return shaken(KINDS[request.param]())


def test_the_density_integrates_to_one_and_has_the_moments_of_the_samples(sampler):
    context = make_context()
    axis = np.linspace(-14, 14, 141, dtype=np.float32)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 1, 2)
    grid = np.broadcast_to(grid, [len(grid), 8, 2])
    mass = np.exp(sampler.log_prob(grid, context)) * (axis[1] - axis[0]) ** 2
    np.testing.assert_allclose(mass.sum(0), 1, atol=0.01)
    z = sampler.sample(4000, context, SEED).numpy()
    mean = (mass[..., None] * grid).sum(0)
    error = z.std(0) / np.sqrt(len(z))
    assert np.all(np.abs(z.mean(0) - mean) < 4.5 * error + 0.02)


def test_eager_graph_and_xla_agree(sampler, mode):
    context = make_context()
    z = tf.random.stateless_normal([5, 8, LATENT], SEED)
    log_prob = mode(lambda z, context: sampler.log_prob(z, context))(z, context)
    np.testing.assert_allclose(log_prob, sampler.log_prob(z, context), rtol=1e-4, atol=1e-4)
    drawn = mode(lambda context: sampler.sample(5, context, SEED))(context)
    np.testing.assert_allclose(drawn, sampler.sample(5, context, SEED), rtol=1e-3, atol=1e-4)


def test_moments_of_a_context_do_not_depend_on_the_others(sampler):
    posterior = sampler.of(make_context())
    last = posterior.take(slice(5, 8))
    for moment in ("mean", "variance"):
        whole, part = getattr(posterior, moment)(), getattr(last, moment)()
        np.testing.assert_allclose(part, whole[5:8], rtol=1e-5, atol=1e-5)


def test_the_log_ratio_is_that_of_the_densities(sampler):
    posterior = sampler.of(make_context())
    z, log_ratio = posterior.sample_and_log_ratio(6, SEED)
    prior = -0.5 * np.sum(np.square(z) + np.log(2 * np.pi), axis=-1)
    np.testing.assert_allclose(log_ratio, prior - posterior.log_prob(z), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(z, posterior.sample(6, SEED), rtol=1e-4, atol=1e-5)


def test_the_tfp_distribution_is_the_same_density(sampler):
    context = make_context()
    twin = sampler.distribution(context)
    z = sampler.sample(5, context, SEED)
    np.testing.assert_allclose(twin.log_prob(z), sampler.log_prob(z, context), rtol=1e-4, atol=1e-4)
    assert twin.sample(3, seed=1).shape == (3, 8, LATENT)
    assert (twin.batch_shape, twin.event_shape) == ((8,), (LATENT,))


def test_a_missing_expert_changes_nothing(sampler):
    context = make_context()
    other = make_context(seed=1)
    there = context.subset[..., tf.newaxis] > 0
    swapped = context._replace(
        expert_loc=tf.where(there, context.expert_loc, other.expert_loc + 7.0)
    )
    z = sampler.sample(5, context, SEED)
    assert np.all(np.isfinite(z))
    np.testing.assert_array_equal(sampler.sample(5, swapped, SEED), z)


def test_the_seed_decides_and_temperature_zero_has_no_noise_but_a_choice(sampler):
    context = make_context()
    first, same, other = (sampler.sample(4, context, seed) for seed in (1, (1, 0), 2))
    np.testing.assert_array_equal(first, same)
    assert not np.allclose(first, other)
    with pytest.raises(UserError, match="seed must be an integer of 32 bits"):
        sampler.sample(4, context, 2**40)
    still = sampler.sample(40, context, 1, temperature=0.0).numpy()
    most = getattr(sampler, "num_components", 1)
    assert len(np.unique(still[:, 0].round(4), axis=0)) <= most


def test_configuration_and_weights_make_it_again(sampler):
    serialized = keras.saving.serialize_keras_object(sampler)
    twin = keras.saving.deserialize_keras_object(serialized)
    twin.set_weights(sampler.get_weights())
    context = make_context()
    np.testing.assert_array_equal(twin.sample(3, context, 5), sampler.sample(3, context, 5))
    assert twin.trainable


def test_replicas_draw_what_one_draws(sampler):
    context = make_context()
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

    def part(replica):
        rows = slice(4 * replica.replica_id_in_sync_group, None)
        return Context(*(value[rows][:4] for value in context))

    parts = strategy.experimental_distribute_values_from_function(part)
    draw = tf.function(lambda context: sampler.sample(3, context, SEED))
    drawn = strategy.experimental_local_results(strategy.run(draw, [parts]))
    expected = sampler.sample(3, context, SEED)
    np.testing.assert_allclose(tf.concat(drawn, axis=1), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("latent", [1, 3, 4])
def test_the_flow_is_invertible_and_its_volume_is_that_of_the_jacobian(latent):
    flow = shaken(KINDS["coupling_flow"](latent))
    posterior = flow.of(make_context(latent))
    noise = tf.random.stateless_normal([8, latent], SEED)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(noise)
        z, log_volume = posterior.forward(noise)
        each = tf.unstack(z, axis=1)
    jacobian = np.stack([tape.gradient(part, noise) for part in each], axis=1).astype(np.float64)
    np.testing.assert_allclose(log_volume, np.linalg.slogdet(jacobian)[1], rtol=1e-3, atol=1e-3)
    back, log_inverse = posterior.inverse(z)
    np.testing.assert_allclose(back, noise, atol=1e-3)
    np.testing.assert_allclose(log_inverse, -log_volume, rtol=1e-4, atol=1e-4)
    expected = -0.5 * np.sum(np.square(noise) + np.log(2 * np.pi), axis=-1) - log_volume
    np.testing.assert_allclose(posterior.log_prob(z[tf.newaxis])[0], expected, atol=1e-3)


def test_a_flow_that_is_not_fitted_is_the_posterior():
    context = make_context()
    flow = KINDS["coupling_flow"]()
    z = tf.random.stateless_normal([5, 8, LATENT], SEED)
    q = DiagonalGaussian(context.loc, context.log_variance)
    np.testing.assert_allclose(flow.log_prob(z, context), q.log_prob(z), rtol=1e-4, atol=1e-4)


def test_a_model_refuses_a_sampler_that_does_not_fit():
    model = tiny.make_model()
    with pytest.raises(UserError, match="is for a latent of 2 and 3 modalities; mvae"):
        model.set_sampler(KINDS["coupling_flow"]())
    with pytest.raises(UserError, match="must be of tf_mvae.samplers"):
        model.set_sampler(MVAE)
    with pytest.raises(UserError, match="has no use for a sampler"):
        tiny.make_any(CVAE).set_sampler(KINDS["coupling_flow"](tiny.LATENT_DIM))
    with pytest.raises(UserError, match="has no sampler; fit one"):
        model.sample(1, latents="sampler")
    with pytest.raises(UserError, match="latents must be one of"):
        model.sample(1, latents="flow")
