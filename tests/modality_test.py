"""One modality: its networks, its weights and its error messages."""

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from absl import logging

from tests.tiny import assert_close, make_modalities
from tf_mvae import VAE, Modality, UserError, likelihoods
from tf_mvae.layers import MaskedBatchNormalization, MaskedSequential, mlp_decoder, mlp_encoder
from tf_mvae.layers.mlp import LogCounts

LATENT_DIM = 3


def make_modality(likelihood=None, **kwargs):
    likelihood = likelihoods.Normal([2]) if likelihood is None else likelihood
    encoder = kwargs.pop("encoder", None) or mlp_encoder([8])
    decoder = kwargs.pop("decoder", None) or mlp_decoder(likelihood.parameter_shape, [8])
    return Modality("thing", likelihood, encoder, decoder, **kwargs)


@pytest.mark.parametrize("index", range(3))
def test_shapes(index):
    modality = make_modalities()[index]
    modality.connect(LATENT_DIM)
    likelihood = modality.likelihood
    value = tf.zeros([4, *likelihood.event_shape], likelihood.dtype)
    loc, log_variance = modality.encode(value, tf.ones([4]))
    assert loc.shape == log_variance.shape == [4, LATENT_DIM]
    assert modality.decode(tf.zeros([6, LATENT_DIM])).shape == [6, *likelihood.parameter_shape]


@pytest.mark.parametrize(
    ("likelihood", "raw"),
    [
        (likelihoods.Bernoulli([28, 28, 1]), np.zeros([2, 28, 28, 1], np.uint8)),
        (likelihoods.Categorical(10), np.zeros([2], np.int64)),
        (likelihoods.Laplace([2, 3], scale=None), np.zeros([2, 2, 3])),
    ],
)
def test_the_default_networks_fit_every_likelihood(likelihood, raw):
    modality = Modality("thing", likelihood)
    modality.connect(LATENT_DIM)
    assert modality.encode(raw, tf.ones([2]))[0].shape == [2, LATENT_DIM]
    assert modality.decode(tf.zeros([2, LATENT_DIM])).shape == [2, *likelihood.parameter_shape]


def test_connecting_twice_changes_nothing():
    modality = make_modality()
    modality.connect(LATENT_DIM)
    before = modality.get_weights()
    modality.connect(LATENT_DIM)
    assert_close(modality.get_weights(), before, 0, 0)


def test_the_mean_and_the_log_variance_are_the_two_halves_of_the_expert():
    modality = make_modality(encoder=keras.layers.Identity())
    modality.connect(LATENT_DIM)
    kernel, bias = modality.expert_head.get_weights()
    value = np.random.default_rng(0).normal(size=[5, 2]).astype(np.float32)
    loc, log_variance = modality.encode(value, tf.ones([5]))
    expected = value @ kernel + bias
    np.testing.assert_allclose(loc, expected[:, :LATENT_DIM], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(log_variance, expected[:, LATENT_DIM:], rtol=1e-5, atol=1e-6)


def test_features_of_any_rank_are_flattened():
    modality = make_modality(likelihoods.Normal([4, 6]), encoder=keras.layers.Conv1D(5, 2))
    modality.connect(LATENT_DIM)
    assert modality.encode(tf.zeros([3, 4, 6]), tf.ones([3]))[0].shape == [3, LATENT_DIM]
    assert modality.expert_head.kernel.shape == (3 * 5, 2 * LATENT_DIM)


def test_a_decoders_output_takes_the_likelihoods_shape():
    modality = make_modality(likelihoods.Normal([2], scale=None), decoder=keras.layers.Dense(4))
    modality.connect(LATENT_DIM)
    assert modality.decode(tf.zeros([5, LATENT_DIM])).shape == [5, 2, 2]


def test_a_decoder_of_the_wrong_size_is_named():
    modality = make_modality(decoder=keras.layers.Dense(3))
    with pytest.raises(ValueError, match=r"'thing'.*wants \(2,\).*puts out \(3,\)"):
        modality.connect(LATENT_DIM)


@pytest.mark.parametrize(
    ("likelihood", "garbage"),
    [
        (likelihoods.Normal([2]), [[np.nan, 1], [np.inf, 2]]),
        (likelihoods.Bernoulli([2]), [[-np.inf, 1], [5, 2]]),
        (likelihoods.Categorical(4), [-1, 2**31 - 1]),
    ],
)
def test_what_is_masked_is_zero(likelihood, garbage):
    modality = make_modality(likelihood)
    garbage = np.array(garbage, np.float32 if likelihood.dtype == tf.float32 else np.int32)
    prepared = modality.prepare(garbage, tf.constant([0.0, 0.0]))
    assert prepared.dtype == likelihood.dtype
    np.testing.assert_array_equal(prepared, np.zeros([2, *likelihood.event_shape]))


def test_what_is_there_is_kept():
    value = np.array([[0, 1], [2, 0]], np.uint8)
    prepared = make_modality().prepare(value, tf.constant([1.0, 0.0]))
    np.testing.assert_allclose(prepared, [[0, 1], [0, 0]])


@pytest.mark.parametrize(
    ("weights", "expected"),
    [({}, (1, 1)), ({"likelihood_weight": 5}, (5, 5)), ({"cross_weight": 0}, (1, 0))],
)
def test_weights(weights, expected):
    modality = make_modality(**weights)
    assert (modality.likelihood_weight, modality.cross_weight) == expected


@pytest.mark.parametrize(
    "weights",
    [
        {"likelihood_weight": -1},
        {"cross_weight": -0.1},
        {"likelihood_weight": np.nan},
        {"cross_weight": np.inf},
        {"likelihood_weight": "1"},
    ],
)
def test_negative_weights_are_refused(weights):
    with pytest.raises(ValueError, match="'thing': weights must not be negative"):
        make_modality(**weights)


@pytest.mark.parametrize("network", ["encoder", "decoder"])
@pytest.mark.parametrize("value", [tf.nn.relu, keras.layers.Dense, [512, 512]])
def test_networks_are_keras_layers(network, value):
    with pytest.raises(ValueError, match=f"'thing': {network} must be a Keras layer or model"):
        Modality("thing", likelihoods.Normal([2]), **{network: value})


@pytest.mark.parametrize(
    ("likelihood", "encoder", "decoder"),
    [
        (likelihoods.Normal([]), 64, 64),
        (likelihoods.Normal([8]), 64, 64),
        (likelihoods.Normal([8], scale=None), 64, 128),
        (likelihoods.Categorical(10), 128, 128),
        (likelihoods.Poisson([33]), 512, 512),
        (likelihoods.Bernoulli([28, 28, 1]), 512, 512),
    ],
)
def test_default_networks_are_as_wide_as_what_they_read_and_make(likelihood, encoder, decoder):
    modality = Modality("thing", likelihood)
    modality.connect(2)

    def widths(network):
        return [w.shape[-1] for w in network.trainable_weights if len(w.shape) == 2]

    assert widths(modality.encoder) == [encoder] * 2
    assert widths(modality.decoder)[:-1] == [decoder] * 3


def test_default_encoders_of_counts_read_their_logarithms():
    modality = Modality("thing", likelihoods.Poisson([3]))
    modality = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(modality))
    assert isinstance(modality.encoder.layers[0], LogCounts)
    counts = np.array([[0, 500, 1e13]], np.float32)
    np.testing.assert_allclose(modality.encoder.layers[0](counts), np.log1p(counts), rtol=1e-6)


@pytest.mark.parametrize(
    "name", ["", "z", "image_mask", "two words", "1st", "_hidden", "a.b", "a/b"]
)
def test_names_are_identifiers(name):
    with pytest.raises(ValueError, match="a modality's name is"):
        Modality(name, likelihoods.Normal([2]))


@pytest.mark.parametrize("likelihood", ["bernoulli", None, lambda p: p])
def test_a_likelihood_must_be_one(likelihood):
    with pytest.raises(UserError, match="'thing': likelihood must be"):
        Modality("thing", likelihood)


def test_config_round_trip():
    modality = make_modality(likelihood_weight=3, cross_weight=0.5)
    serialized = keras.saving.serialize_keras_object(modality)
    again = keras.saving.deserialize_keras_object(serialized)
    assert isinstance(again, Modality)
    assert again.name == "thing"
    assert (again.likelihood_weight, again.cross_weight) == (3, 0.5)
    assert keras.saving.serialize_keras_object(again) == serialized
    for one in (modality, again):
        one.connect(LATENT_DIM)
    again.set_weights(modality.get_weights())
    value, there = np.ones([2, 2], np.float32), tf.ones([2])
    assert_close(again.encode(value, there), modality.encode(value, there), 0, 0)


@pytest.mark.parametrize(
    ("encoder", "warns"),
    [
        (lambda: MaskedSequential([keras.layers.BatchNormalization()]), True),
        (lambda: keras.Sequential([keras.layers.BatchNormalization()]), True),
        (lambda: keras.layers.BatchNormalization(), True),
        (lambda: MaskedSequential([MaskedBatchNormalization()]), False),
        (lambda: MaskedSequential([keras.layers.Dense(2)]), False),
    ],
)
def test_unmasked_batch_norm_is_warned_of(encoder, warns, monkeypatch):
    warned = []
    monkeypatch.setattr(logging, "warning", lambda text, *values: warned.append(text % values))
    make_modality(encoder=encoder())
    assert bool(warned) == warns
    assert all("'thing'" in text and "MaskedBatchNormalization" in text for text in warned)


@pytest.mark.parametrize("mean", [200, 500])
def test_large_counts_train_with_default_networks(mean):
    """After a few epochs the model is better than one rate per column."""
    rng = np.random.default_rng(0)
    log_rate = np.log(mean) + 0.25 * rng.normal(size=[1000, 2]) @ rng.normal(size=[2, 8])
    counts = rng.poisson(np.exp(log_rate)).astype(np.float32)
    one_rate = scipy.stats.poisson.logpmf(counts, counts.mean(0)).sum(1).mean()
    model = VAE([Modality("counts", likelihoods.Poisson([8]))], 8)
    model.compile(keras.optimizers.Adam(1e-3))
    history = model.fit({"counts": counts}, epochs=10, batch_size=50, verbose=0).history
    assert history["counts_log_likelihood"][-1] > one_rate
