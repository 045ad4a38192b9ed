"""Tests of single missing symbols of sequences, from the distribution to imputation."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_mvae
from tests import tiny
from tf_mvae import MVAE, Modality, likelihoods
from tf_mvae.batch import unpack
from tf_mvae.data import from_arrays
from tf_mvae.distributions.sequences import TokenSequences
from tf_mvae.layers import RecurrentDecoder, RecurrentEncoder, mlp_decoder
from tf_mvae.ops.tokens import END, FIRST_WORD, GAP, PAD, blank_rest, counted

IDS, LENGTH = 6, 4  # the words are 3, 4 and 5


def make_model(dropout=0.0, word_dropout=0.0, units=6, latent=2):
    network = RecurrentDecoder(IDS, 4, units, num_layers=1, word_dropout=word_dropout)
    text = Modality(
        "text",
        likelihoods.TokenSequence(IDS, LENGTH, network, context_size=4),
        RecurrentEncoder(IDS, 4, units),
        mlp_decoder([4], [units]),
        element_mask=True,
        element_dropout=dropout,
    )
    decoder = mlp_decoder([3], [units])
    label = Modality("label", likelihoods.Categorical(3), None, decoder, likelihood_weight=10)
    return MVAE([text, label], latent_dim=latent)


def make_batch(rows=8, seed=0):
    rng = np.random.default_rng(seed)
    text = np.asarray(blank_rest(tf.constant(rng.integers(END, IDS, [rows, LENGTH]), tf.int32)))
    mask = (rng.uniform(size=text.shape) < 0.6).astype(np.float32)
    mask[0] = 0
    label = rng.integers(3, size=rows)
    return {"x": {"text": text, "label": label}, "mask": {"text": mask}}


def distribution(rows=1):
    network = RecurrentDecoder(IDS, 4, 5, num_layers=1)
    said = TokenSequences(tf.random.stateless_normal([rows, 3], [1, 2]), network, LENGTH)
    said.log_prob(tf.zeros([rows, LENGTH], tf.int32))  # builds the network
    for place, weight in enumerate(network.weights):
        weight.assign(tf.random.stateless_normal(weight.shape, [3, place]))
    return said


def test_a_gap_belongs_to_the_sequence_and_an_end_does_end_it():
    tokens = tf.constant([[4, GAP, END, GAP, 5], [GAP, 5, PAD, 4, 4]])
    np.testing.assert_array_equal(counted(tokens, gaps=True), [[1, 1, 1, 0, 0], [1, 1, 0, 0, 0]])
    np.testing.assert_array_equal(counted(tokens), [[1, 0, 0, 0, 0], [0] * 5])
    wanted = [[4, GAP, END, PAD, PAD], [GAP, 5, PAD, PAD, PAD]]
    np.testing.assert_array_equal(blank_rest(tokens, gaps=True), wanted)


def test_gaps_at_the_end_are_summed_over_exactly():
    said = distribution()
    ends = list(itertools.product(range(END, IDS), repeat=2))
    rest = {tuple(row) for row in blank_rest(tf.constant(ends, tf.int32)).numpy().tolist()}
    whole = tf.constant([[4, 5, *row] for row in rest], tf.int32)
    every = tf.reduce_logsumexp(said.log_prob(whole))
    known = said.log_prob(tf.constant([[4, 5, GAP, GAP]]), gaps=True)
    tiny.assert_close(known[0], every)


def test_without_gaps_it_is_the_log_probability_and_steps_behind_a_gap_see_padding():
    said = distribution()
    whole = tf.constant([[3, 5, 4, END]])
    np.testing.assert_array_equal(said.log_prob(whole, gaps=True), said.log_prob(whole))
    # The network's logits given [START, 3, PAD, 4]; the gap's own step does not count.
    logits = said._network(said.context, tf.constant([[3, PAD, 4, END]]))[0]
    each = tf.nn.log_softmax(logits)
    wanted = sum(each[step, symbol - END] for step, symbol in ((0, 3), (2, 4), (3, END)))
    tiny.assert_close(said.log_prob(tf.constant([[3, GAP, 4, END]]), gaps=True)[0], wanted)


def test_a_completion_keeps_what_is_known_and_is_greedy_elsewhere():
    said = distribution(rows=6)
    gaps = tf.fill([6, LENGTH], GAP)
    np.testing.assert_array_equal(said.completion(gaps), said.mode())
    rng = np.random.default_rng(0)
    for _ in range(20):
        tokens = rng.choice([GAP, *range(FIRST_WORD, IDS)], [6, LENGTH])
        found = np.asarray(said.completion(tf.constant(tokens, tf.int32)))
        known = tokens != GAP
        np.testing.assert_array_equal(found[known], tokens[known])
        # No end in front of a known symbol.
        last = LENGTH - np.argmax(known[:, ::-1], axis=1)
        for row, end, some in zip(found, last, known.any(1), strict=True):
            assert not some or (row[:end] >= FIRST_WORD).all()
    # A gap in the last place has the most probable symbol.
    start = tf.constant([[3, 4, 5]] * 6)
    scores = [said.log_prob(tf.concat([start, tf.fill([6, 1], i)], 1)) for i in range(END, IDS)]
    found = said.completion(tf.concat([start, tf.fill([6, 1], GAP)], 1))
    np.testing.assert_array_equal(
        found[:, -1], END + tf.argmax(scores, axis=0, output_type=tf.int32)
    )


def test_what_stands_in_a_gap_changes_nothing_and_no_gradient_is_nan():
    model, batch = make_model(dropout=0.5, word_dropout=0.3), make_batch()

    def with_garbage(garbage):
        text = np.where(batch["mask"]["text"] > 0, batch["x"]["text"], garbage)
        return {"x": {**batch["x"], "text": text}, "mask": batch["mask"]}

    others = [with_garbage(garbage) for garbage in (PAD, END, 5, 99, -7)]
    tiny.assert_same_steps(model, with_garbage(GAP), others)


def test_batches_mark_gaps_once_and_masked_arrays_do_as_masks_do():
    model, batch = make_model(), make_batch()
    x, mask = unpack(batch, model.modalities)
    there = counted(batch["x"]["text"]).numpy() & (batch["mask"]["text"] > 0)
    np.testing.assert_array_equal(mask["text"], there.any(axis=1))
    assert mask["text"][0] == 0
    again = unpack({"x": x, "mask": mask}, model.modalities)
    present = mask["text"] > 0
    np.testing.assert_array_equal(again[0]["text"][present], x["text"][present])
    masked = np.ma.masked_array(batch["x"]["text"], batch["mask"]["text"] == 0)
    arrays = from_arrays(
        {"text": masked, "label": batch["x"]["label"]}, modalities=model.modalities
    )
    tiny.assert_close(model.elbo(arrays, seed=1).elbo, model.elbo(batch, seed=1).elbo)


def test_a_model_learns_to_fill_in_symbols_and_is_saved(tmp_path):
    """Sentences repeat one word; half of the symbols are missing, in training too."""
    rng = np.random.default_rng(0)
    word = rng.integers(FIRST_WORD, IDS, 300)
    text = np.repeat(word[:, np.newaxis], LENGTH, 1)
    mask = rng.uniform(size=text.shape) < 0.5
    data = {"x": {"text": text, "label": word - FIRST_WORD}, "mask": {"text": mask}}
    model = make_model(units=16, latent=4)
    model.compile(keras.optimizers.Adam(1e-2))
    model.fit(data, epochs=20, batch_size=50, verbose=0)
    given = {"x": {"text": text}, "mask": {"text": mask & (np.arange(300) % 3 > 0)[:, np.newaxis]}}
    found = model.impute(given, num_samples=20, seed=0)["text"]
    some = given["mask"]["text"].any(axis=1)
    hidden = ~given["mask"]["text"] & some[:, np.newaxis]
    np.testing.assert_array_equal(found.missing, ~given["mask"]["text"])
    assert (found.filled == text)[given["mask"]["text"]].all()
    assert (found.filled == text)[hidden].mean() > 0.9  # a random word: 1/3
    assert np.isnan(found.standard_deviation).all() and np.isnan(found.quantiles[0.5]).all()
    short = model.impute({"text": np.array([[4, END, PAD, PAD]])}, num_samples=2)["text"]
    assert not short.missing.any() and short.filled.tolist() == [[4, END, PAD, PAD]]
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.modalities[0].element_mask
    np.testing.assert_array_equal(
        again.impute(given, num_samples=20, seed=0)["text"].filled, found.filled
    )
    tf_mvae.samplers.fit(model, data, epochs=1, verbose=0)
    assert model.predict(given, verbose=0)["text"].shape == (300, LENGTH)
    with pytest.raises(tf_mvae.UserError, match="sequence of symbols"):
        Modality("class", likelihoods.Categorical(3), element_mask=True)
