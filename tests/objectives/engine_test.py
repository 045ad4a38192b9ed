"""The ELBOs of many subsets at once against naive ones, subset by subset."""

import itertools

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from tests import tiny
from tf_mvae import MVAE, Modality, likelihoods
from tf_mvae.objectives.terms import EVERYTHING, RANDOM

tfd = tfp.distributions
# An own weight and a cross weight for each modality that tell terms apart.
CROSS_WEIGHTS = {"image": 0.25, "label": 0.0, "reading": 2.0}
KL_WEIGHT = 0.3


def naive_elbo(model, batch, subset, z, kl_weight):
    """The ELBO of one term: encodes what the subset holds, decodes z, adds up with weights.

    Args:
        model: The model.
        batch: The batch.
        subset: `[batch, modality]`.
        z: `[sample, batch, latent]`.
        kl_weight: Weight of the divergence.
    """
    mask = {m.name: subset[:, i] for i, m in enumerate(model.modalities)}
    posterior = model.posterior(batch["x"], mask)
    decoded = model.decode(z)
    elbo = -kl_weight * tfd.kl_divergence(posterior, model.prior).numpy()
    for m in model.modalities:
        raw = batch["x"][m.name]
        log_prob = np.mean(decoded[m.name].log_prob(tf.cast(raw, m.likelihood.dtype)), axis=0)
        inside = mask[m.name]
        weight = m.likelihood_weight * inside + m.cross_weight * (1 - inside)
        elbo += weight * log_prob * batch["mask"][m.name]
    return elbo, posterior


@pytest.fixture(params=[None, 0, CROSS_WEIGHTS], ids=["everything", "paper", "mixed"])
def model(request):
    return tiny.make_model(request.param, num_random_subsets=2)


def test_every_term_equals_the_naive_elbo(model, tiny_batch):
    elbo = model.elbo(tiny_batch, kl_weight=KL_WEIGHT, num_samples=2, seed=5)
    present = np.stack([tiny_batch["mask"][n] for n in tiny.NAMES], axis=1)
    for term in range(elbo.subset.shape[0]):
        subset = elbo.subset[term].numpy()
        assert np.all(subset <= present)
        expected, posterior = naive_elbo(model, tiny_batch, subset, elbo.z[:, term], KL_WEIGHT)
        np.testing.assert_allclose(elbo.loc[term], posterior.mean(), rtol=1e-5, atol=1e-6)
        variance = np.exp(elbo.log_variance[term])
        np.testing.assert_allclose(variance, posterior.variance(), rtol=1e-5)
        kl = tfd.kl_divergence(posterior, model.prior)
        np.testing.assert_allclose(elbo.kl[term], kl, rtol=1e-4, atol=1e-6)
        counts = elbo.valid[term].numpy() > 0
        np.testing.assert_allclose(elbo.elbo[term][counts], expected[counts], rtol=1e-4, atol=1e-4)


def test_loss_equals_a_loop_over_examples_each_with_its_own_terms(tiny_batch):
    model = tiny.make_model(CROSS_WEIGHTS, term_weight={})
    elbo = model.elbo(tiny_batch, kl_weight=KL_WEIGHT, num_samples=2, seed=5)
    total = 0.0
    for example, row in enumerate(tiny.all_patterns(3)):
        members = set(np.flatnonzero(row))
        own = {frozenset(members), *(frozenset([m]) for m in members)} - {frozenset()}
        for chosen in own:
            # Everything is term 0, modality i alone is term 1 + i.
            term = 0 if chosen == members else 1 + min(chosen)
            subset = np.zeros([8, 3], np.float32)
            subset[:, list(chosen)] = 1
            z = elbo.z[:, term]
            total += naive_elbo(model, tiny_batch, subset, z, KL_WEIGHT)[0][example]
    np.testing.assert_allclose(elbo.loss, -total / 8, rtol=1e-5)


def test_a_batch_is_the_mean_of_its_examples_alone():
    """Posteriors have almost no variance, so the noise, which depends on the row, has no effect."""
    model = tiny.make_model(CROSS_WEIGHTS, num_random_subsets=1)
    tiny.make_posterior_sharp(model)
    batch = tiny.make_batch()
    losses = []
    for example in range(8):
        alone = tf.nest.map_structure(lambda v, e=example: v[e : e + 1], batch)
        losses.append(model.elbo(alone, seed=3).loss)
    np.testing.assert_allclose(model.elbo(batch, seed=3).loss, np.mean(losses), rtol=1e-5)


def test_log_likelihoods_are_without_weights_and_of_what_is_there(tiny_batch):
    model = tiny.make_model(CROSS_WEIGHTS)
    elbo = model.elbo(tiny_batch, seed=5)
    decoded = model.decode(elbo.z)
    for m in model.modalities:
        expected = decoded[m.name].log_prob(tf.cast(tiny_batch["x"][m.name], m.likelihood.dtype))
        expected = np.mean(expected, axis=0) * tiny_batch["mask"][m.name]
        if m.cross_weight == 0:
            others = [t for t in (1, 2, 3) if t != 1 + tiny.NAMES.index(m.name)]
            expected[others] = 0
        np.testing.assert_allclose(elbo.log_likelihood[m.name], expected, rtol=1e-4, atol=1e-5)


def test_z_is_the_mean_plus_standard_noise_in_the_posteriors_scale(tiny_batch):
    """Mean, variance and correlation of the standardised noise, each within 5 deviations."""
    model = tiny.make_model()
    number = 1000
    elbo = model.elbo(tiny_batch, num_samples=number, seed=8)
    noise = ((elbo.z - elbo.loc) / np.exp(elbo.log_variance / 2)).numpy()
    flat = noise.reshape(number, -1)
    every = flat.size
    assert abs(flat.mean()) < 5 / np.sqrt(every)
    assert abs((flat**2).mean() - 1) < 5 * np.sqrt(2 / every)
    assert np.abs(flat.mean(axis=0)).max() < 5 / np.sqrt(number)
    correlation = np.corrcoef(flat.T) - np.eye(flat.shape[1])
    assert np.abs(correlation).max() < 5 / np.sqrt(number)
    assert scipy.stats.kstest(flat.ravel(), scipy.stats.norm.cdf).pvalue > 1e-4


def test_the_seed_decides_the_noise(tiny_model, tiny_batch):
    one, same, other = (tiny_model.elbo(tiny_batch, seed=seed).z for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.any(one == other)
    np.testing.assert_array_equal(tiny_model.elbo(tiny_batch, seed=(1, 0)).z, one)
    default = tiny_model.elbo(tiny_batch).z
    np.testing.assert_array_equal(default, tiny_model.elbo(tiny_batch, seed=tiny_model.seed).z)


def test_the_kl_weight_weighs_the_divergence_only(tiny_model, tiny_batch):
    none, half = (tiny_model.elbo(tiny_batch, kl_weight=w, seed=1) for w in (0.0, 0.5))
    np.testing.assert_array_equal(none.kl, half.kl)
    np.testing.assert_allclose(none.elbo - half.elbo, 0.5 * none.kl, rtol=1e-3, atol=1e-4)


def test_decoded_blocks_are_those_that_may_hold_the_modality():
    names = {0.0: (EVERYTHING, "label", RANDOM), 0.1: (EVERYTHING, *tiny.NAMES, RANDOM)}
    for weight, expected in names.items():
        model = tiny.make_model(weight, num_random_subsets=2)
        assert model.objective.decoded(model.modalities)["label"] == expected


class Counting(keras.layers.Layer):
    """A network that records the number of rows of each call."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.rows = []

    def call(self, inputs):
        self.rows.append(inputs.shape[0])
        return self.network(inputs)


@pytest.mark.parametrize("num_random", [0, 2])
@pytest.mark.parametrize("cross_weight", [0, None])
def test_encoders_run_once_and_decoders_for_the_needed_terms_only(num_random, cross_weight):
    modalities = []
    for m in tiny.make_modalities(cross_weight):
        networks = Counting(m.encoder), Counting(m.decoder)
        modalities.append(Modality(m.name, m.likelihood, *networks, cross_weight=cross_weight))
    model = MVAE(modalities, tiny.LATENT_DIM, num_random)
    for m in modalities:
        m.encoder.rows.clear()
        m.decoder.rows.clear()
    batch = tiny.make_batch()
    model.elbo(batch, num_samples=2)
    terms = (2 if cross_weight == 0 else 4) + num_random
    for m in modalities:
        assert m.encoder.rows == [8]
        assert m.decoder.rows == [2 * terms * 8]


def test_batch_norm_in_an_encoder_sees_the_examples_that_have_the_modality_only(tiny_batch):
    model = tiny.make_model(batch_norm=True)
    model.elbo(tiny_batch, training=True)
    for m in model.modalities:
        features = tiny_batch["x"][m.name][tiny_batch["mask"][m.name] > 0]
        *before, batch_norm = m.encoder.layers
        for layer in before:
            features = layer(features)
        expected = (1 - batch_norm.momentum) * np.mean(features, axis=0)
        np.testing.assert_allclose(batch_norm.moving_mean, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("cross_weight", [0, None])
def test_batch_norm_in_a_decoder_sees_the_rows_that_count_only(cross_weight, tiny_batch):
    """Rows of terms that the example does not have, or that are not reconstructed, are excluded."""
    model = tiny.make_model(cross_weight, batch_norm=True, num_random_subsets=2)
    elbo = model.elbo(tiny_batch, num_samples=2, seed=5, training=True)
    for index, m in enumerate(model.modalities):
        counts = elbo.valid * tiny_batch["mask"][m.name]
        if cross_weight == 0:
            counts *= elbo.subset[:, :, index]
        assert 0 < np.sum(counts) < np.size(counts)
        rows = elbo.z.numpy()[:, counts.numpy() > 0]
        batch_norm = m.decoder.layers[0]
        expected = (1 - batch_norm.momentum) * rows.mean(axis=(0, 1))
        np.testing.assert_allclose(batch_norm.moving_mean, expected, rtol=1e-4, atol=1e-7)


def test_importance_weights_of_the_exact_posterior_do_not_vary():
    """A linear-Gaussian model: x_i = A_i z + s_i e, the columns of A_i orthogonal.

    Then p(x_i | z), as a function of z, is a diagonal Gaussian, N(B x, s^2 D) with
    D = (A^T A)^-1 and B = D A^T, and products of such experts with the prior are the exact
    posteriors: log p(x, z) - log q(z | x) is log p(x) at every z, for every subset.
    """
    rng = np.random.default_rng(0)
    latent_dim, scales = 2, {"a": 0.5, "b": 1.5}
    modalities, matrices = [], {}
    for name, size in (("a", 3), ("b", 4)):
        orthogonal, _ = np.linalg.qr(rng.normal(size=[size, latent_dim]))
        matrices[name] = orthogonal * rng.uniform(0.5, 2, size=latent_dim)
        likelihood = likelihoods.Normal([size], scale=scales[name])
        decoder = keras.layers.Dense(size)
        modalities.append(Modality(name, likelihood, keras.layers.Identity(), decoder))
    model = MVAE(modalities, latent_dim)
    for m in modalities:
        matrix, scale = matrices[m.name], scales[m.name]
        m.decoder.set_weights([matrix.T, np.zeros(len(matrix))])
        inverse = 1 / (matrix**2).sum(axis=0)
        kernel = np.concatenate([matrix * inverse, np.zeros_like(matrix)], axis=1)
        bias = np.concatenate([np.zeros(latent_dim), np.log(scale**2 * inverse)])
        m.expert_head.set_weights([kernel, bias])
    x = {n: rng.normal(size=[5, len(matrix)]).astype(np.float32) for n, matrix in matrices.items()}
    for subset in itertools.chain.from_iterable(itertools.combinations("ab", n) for n in (1, 2)):
        posterior = model.posterior({n: x[n] for n in subset})
        z = posterior.sample(20, seed=1)
        decoded = model.decode(z)
        joint = model.prior.log_prob(z) + sum(decoded[n].log_prob(x[n]) for n in subset)
        log_weights = joint - posterior.log_prob(z)
        matrix = np.concatenate([matrices[n] for n in subset])
        noise = np.concatenate([[scales[n] ** 2] * len(matrices[n]) for n in subset])
        exact = scipy.stats.multivariate_normal(cov=matrix @ matrix.T + np.diag(noise))
        values = np.concatenate([x[n] for n in subset], axis=1)
        expected = np.tile(exact.logpdf(values), [20, 1])
        np.testing.assert_allclose(log_weights, expected, rtol=1e-5, atol=1e-4)
