"""Models of sequences: masked symbols, training, likelihoods, exports."""

import itertools

import keras
import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from tests import tiny
from tf_mvae import CVAE, MVAE, VAE, Modality, ModalityGroup, UserError, likelihoods
from tf_mvae.evaluation import ImportanceSampler
from tf_mvae.layers import RecurrentDecoder, RecurrentEncoder, mlp_decoder
from tf_mvae.ops.tokens import END, PAD
from tf_mvae.posteriors import DiagonalGaussian
from tf_mvae.serving import export_saved_model

VOCABULARY, LENGTH = 7, 4
NAMES = ("one", "two")


def make_modality(name, word_dropout=0.0, units=6):
    network = RecurrentDecoder(VOCABULARY, 4, units, 1, word_dropout)
    likelihood = likelihoods.TokenSequence(VOCABULARY, LENGTH, network, 5)
    encoder = RecurrentEncoder(VOCABULARY, 4, units)
    return Modality(name, likelihood, encoder, mlp_decoder([5], [units]))


def make_model(make=MVAE, names=NAMES, word_dropout=0.0, units=6, **kwargs):
    modalities = [make_modality(name, word_dropout, units) for name in names]
    return make(modalities, **{"latent_dim": 3, **kwargs})


def make_batch(size=8, seed=0):
    rng = np.random.default_rng(seed)
    words = rng.integers(3, VOCABULARY, [size, LENGTH])
    words[np.arange(size), rng.integers(1, LENGTH, size)] = END
    words = np.where(np.cumsum(words == END, 1) - (words == END), PAD, words).astype(np.int32)
    # The second language says the first's words, each one further.
    other = np.where(words >= 3, (words - 2) % (VOCABULARY - 3) + 3, words).astype(np.int32)
    present = np.ones([size, 2], np.float32)
    present[1, 0] = present[2, 1] = 0
    return {
        "x": {"one": words, "two": other},
        "mask": {name: present[:, i].copy() for i, name in enumerate(NAMES)},
    }


def test_what_is_masked_or_stands_behind_an_end_changes_nothing():
    model, batch = make_model(word_dropout=0.3), make_batch()
    spoiled = tf.nest.map_structure(np.copy, batch)
    spoiled["x"]["one"][1], spoiled["x"]["two"][2] = 6, -9
    for row in spoiled["x"]["one"]:
        (ends,) = np.nonzero(row == END)
        if len(ends):
            row[ends[0] + 1 :] = 5

    def evaluate(data):
        loss = lambda: model.elbo(data, seed=1, training=True).loss  # noqa: E731
        return tiny.gradients_of(loss, model.trainable_variables)

    assert np.any(spoiled["x"]["one"] != batch["x"]["one"])
    tiny.assert_close(evaluate(spoiled), evaluate(batch), 0, 0)


def test_xla_compiles_a_step_that_expects_missing_sentences():
    model, batch = make_model(), tf.nest.map_structure(tf.constant, make_batch())
    start = model.get_weights()

    def weights_after_a_step(jit_compile):
        model.set_weights(start)
        model.compile(keras.optimizers.SGD(0.01))  # whose first step it is
        tf.function(model.train_step, jit_compile=jit_compile)(batch)
        return model.get_weights()

    expected = weights_after_a_step(False)
    model.expect(batch["mask"])
    tiny.assert_close(weights_after_a_step(True), expected)


def test_it_learns_to_translate_and_saves_what_it_learned(tmp_path):
    kwargs = {"units": 16, "latent_dim": 8, "word_dropout": 0.2, "kl_weight": 0.2}
    model, batch = make_model(**kwargs), make_batch(64)
    batch["mask"]["two"][:20] = 0
    model.compile(keras.optimizers.Adam(0.02))
    history = model.fit(batch, batch_size=32, epochs=80, verbose=0)
    assert history.history["loss"][-1] < 0.7 * history.history["loss"][0]
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    given = {"one": batch["x"]["one"]}
    drawn = [m.generate(given, seed=3, return_samples=True)["two"] for m in (model, again)]
    np.testing.assert_array_equal(*drawn)
    greedy = model.generate(given, temperature=0.0)["two"][0, 20:]
    assert np.mean(np.all(greedy == batch["x"]["two"][20:], axis=1)) > 0.4


def test_word_dropout_follows_from_the_steps_seed():
    model, batch = make_model(word_dropout=0.5), make_batch()
    losses = [float(model.elbo(batch, seed=s, training=True).loss) for s in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]
    assert model.elbo(batch, seed=1).loss == model.elbo(batch, seed=1).loss != losses[0]


def test_importance_sampling_is_a_naive_average_and_keeps_to_its_memory():
    model, batch = make_model(), make_batch()
    sampler = ImportanceSampler(model, num_samples=3000, max_rows=4096)
    assert sampler._streams._max_rows == 4096 // LENGTH
    estimate = sampler(batch, target=["two"], proposal=[])
    z = np.random.default_rng(0).normal(size=[3000, 1, 3]).astype(np.float32)
    log_prob = model.decode(z)["two"].log_prob(batch["x"]["two"])
    naive = scipy.special.logsumexp(log_prob, axis=0) - np.log(3000)
    expected = np.where(batch["mask"]["two"] > 0, naive, 0)
    np.testing.assert_allclose(estimate.log_likelihood, expected, atol=0.05)


def test_generated_sequences_are_ids_that_fit_the_model():
    model, batch = make_model(), make_batch()
    given = {"one": batch["x"]["one"]}
    for drawn in (model.generate(given, 3), model.generate(given, 3, return_samples=True)):
        assert drawn["two"].shape == (3, 8, LENGTH) and drawn["two"].dtype == tf.int32
        assert model.posterior({"two": drawn["two"][0]}).batch_shape == (8,)
    assert model.sample(5)["one"].shape == (5, LENGTH)
    assert model.predict(batch, verbose=0)["two"].shape == (8, LENGTH)


def test_values_out_of_the_vocabulary_are_refused_in_words():
    model, batch = make_model(), make_batch()
    model.compile("adam")
    batch["x"]["one"][0, 0] = VOCABULARY
    with pytest.raises(UserError, match=r"integers in 0..6: words from 3 on"):
        model.fit(batch, verbose=0)
    with pytest.raises(UserError, match="cannot be read from float32"):
        model.posterior({"one": np.zeros([2, LENGTH], np.float32)})


def test_an_export_gives_the_same_ids(tmp_path):
    model, batch = make_model(), make_batch()
    export_saved_model(model, tmp_path / "saved")
    served = tf.saved_model.load(tmp_path / "saved").signatures
    decoded = served["decode"](z=tf.ones([5, 3]))
    expected = model.from_latent(tf.ones([5, 3]))
    for name in NAMES:
        np.testing.assert_array_equal(decoded[name], expected[name])
    masks = {f"{name}_mask": tf.constant(mask) for name, mask in batch["mask"].items()}
    values = {name: tf.constant(value) for name, value in batch["x"].items()}
    encoded = served["encode"](**values, **masks)
    loc = model.posterior(**batch).mean()
    np.testing.assert_allclose(encoded["loc"], loc, rtol=1e-4, atol=1e-5)


def test_a_sequence_may_be_a_cvaes_target_but_no_number_and_no_group():
    label = Modality("label", likelihoods.Categorical(3))
    trunk = RecurrentEncoder(VOCABULARY, 4, 6)
    model = CVAE([make_modality("one", 0.5), label], 3, trunk, [6])
    batch = {"one": make_batch()["x"]["one"], "label": np.arange(8) % 3}
    loss = lambda: model.elbo(batch, seed=1, training=True).loss  # noqa: E731
    gradients = tiny.gradients_of(loss, model.trainable_variables)[1]
    assert all(gradient is not None for gradient in gradients)
    with pytest.raises(ValueError, match="as numbers, which the ids of 'one' are not"):
        CVAE([label, make_modality("one")], 3, units=[6])
    with pytest.raises(ValueError, match="make each a Modality"):
        ModalityGroup("both", NAMES, make_modality("one").likelihood)


def test_free_bits_charge_each_dimension_of_each_example_at_least_that():
    rng = np.random.default_rng(0)
    loc, log_variance = rng.normal(size=[2, 3, 4, 5]).astype(np.float32)
    kl = 0.5 * np.sum(np.exp(log_variance) + loc**2 - 1 - log_variance, axis=-1)
    posterior = DiagonalGaussian(loc, log_variance)
    charged = posterior.charged_kl(None, kl, 0.7).numpy()
    for place in itertools.product(range(3), range(4)):
        total = 0.0
        for mean, spread in zip(loc[place], log_variance[place], strict=True):
            total += max(0.7, 0.5 * (np.exp(spread) + mean**2 - 1 - spread))
        np.testing.assert_allclose(charged[place], total, rtol=1e-5)
    assert posterior.charged_kl(None, kl, 0.0) is kl


@pytest.mark.parametrize("make", [MVAE, VAE])
def test_free_bits_act_in_training_only_and_a_collapsed_latent_has_no_gradient(make):
    names = NAMES[: 1 if make is VAE else 2]
    keras.utils.set_random_seed(0)
    plain = make_model(make, names)
    free = make_model(make, names, free_bits=100.0)
    free.set_weights(plain.get_weights())
    batch = tiny.part_of(make_batch(), plain)
    for part in ("elbo", "kl"):
        outside = [getattr(m.elbo(batch, seed=1), part) for m in (plain, free)]
        np.testing.assert_array_equal(*outside)
    trained = free.elbo(batch, kl_weight=0.5, seed=1, training=True)
    reconstruction = trained.elbo + 0.5 * 3 * 100.0  # every dimension costs 100 nats
    likelihood = plain.elbo(batch, kl_weight=0.0, seed=1, training=True).elbo
    np.testing.assert_allclose(reconstruction, likelihood, rtol=1e-4, atol=1e-3)
    with pytest.raises(ValueError, match="free_bits"):
        make_model(make, names, free_bits=-1.0)
