"""Likelihoods of sequences against a loop in float64, and normalisation over all sequences."""

import functools

import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from tests import tiny
from tf_mvae.distributions.sequence_mixture import mixture_of_sequences
from tf_mvae.distributions.sequences import TokenSequences
from tf_mvae.distributions.token_sequence import TokenSequence
from tf_mvae.layers import RecurrentDecoder
from tf_mvae.ops.tokens import END, PAD, START

VOCABULARY, LENGTH, CONTEXT, UNITS = 6, 3, 2, 5


@functools.cache
def all_sequences() -> np.ndarray:
    """Every sequence of at most LENGTH symbols, `[number, LENGTH]`."""
    found = []

    def extend(said):
        if len(said) == LENGTH or (said and said[-1] == END):
            found.append([*said, *[PAD] * (LENGTH - len(said))])
            return
        for symbol in range(END, VOCABULARY):
            extend([*said, symbol])

    extend([])
    return np.array(found, np.int32)


@pytest.fixture
def network():
    """A decoder of two layers with weights that differ from each other and from 0."""
    network = RecurrentDecoder(VOCABULARY, 4, UNITS, 2)
    network(tf.zeros([1, CONTEXT]), tf.zeros([1, LENGTH], tf.int32))
    rng = np.random.default_rng(0)
    network.set_weights([rng.normal(size=w.shape) for w in network.get_weights()])
    return network


@pytest.fixture
def context():
    return np.random.default_rng(1).normal(size=[2, 3, CONTEXT]).astype(np.float32)


def naive_log_prob(network, context, sequence):
    """Returns log p of one sequence, symbol by symbol, in float64."""
    (embedding,) = (w.astype(np.float64) for w in network.embedding.get_weights())

    def dense(layer, x):
        kernel, *bias = (w.astype(np.float64) for w in layer.get_weights())
        return x @ kernel + (bias[0] if bias else 0.0)

    states = np.split(np.tanh(dense(network.first_state, context)), network.num_layers)
    previous, total = START, 0.0
    for symbol in sequence:
        if symbol < END:
            break
        gates = dense(network.from_symbol, embedding[previous])
        gates = gates + dense(network.from_context, context)
        for layer, state in enumerate(states):
            if layer:
                gates = dense(network.from_below[layer - 1], states[layer - 1])
            from_input, from_state = (
                np.split(part, 3) for part in (gates, dense(network.from_state[layer], state))
            )
            update, reset = (
                scipy.special.expit(i + s)
                for i, s in zip(from_input[:2], from_state[:2], strict=True)
            )
            candidate = np.tanh(from_input[2] + reset * from_state[2])
            states[layer] = update * state + (1 - update) * candidate
        logits = dense(network.to_logits, states[-1])
        total += logits[symbol - END] - scipy.special.logsumexp(logits)
        if symbol == END:
            break
        previous = symbol
    return total


def test_log_prob_equals_a_loop_over_symbols_in_float64(network, context, mode):
    sequences = np.array([[3, 4, 2], [2, 5, 5], [5, 5, 5]], np.int32)  # ended, at once, never
    found = mode(lambda: TokenSequences(context, network, LENGTH).log_prob(sequences))()
    expected = [
        [naive_log_prob(network, c, s) for c, s in zip(row, sequences, strict=True)]
        for row in context
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_probabilities_of_all_sequences_add_up_to_1(network, context):
    said = TokenSequences(context, network, LENGTH)
    log_prob = said.log_prob(all_sequences()[:, None, None])
    assert log_prob.shape == (len(all_sequences()), 2, 3)
    np.testing.assert_allclose(np.exp(log_prob).sum(axis=0), 1.0, rtol=1e-5)


def test_a_beginning_has_the_probability_of_all_that_begin_so(network, context):
    said = TokenSequences(context[0, 0], network, LENGTH)
    begin = [s for s in all_sequences() if s[0] == 4]
    beginning = said.prob(np.array([4, PAD, 5], np.int32))
    np.testing.assert_allclose(np.sum(said.prob(np.array(begin))), beginning, rtol=1e-5)
    assert said.log_prob(np.zeros([LENGTH], np.int32)) == 0


def test_nothing_behind_the_end_changes_probability_or_gradients(network, context):
    def evaluate(sequence):
        said = TokenSequences(context, network, LENGTH)
        loss = lambda: tf.reduce_sum(said.log_prob(np.array(sequence, np.int32)))  # noqa: E731
        return tiny.gradients_of(loss, network.trainable_variables)

    tiny.assert_close(evaluate([3, END, VOCABULARY + 9]), evaluate([3, END, PAD]), 0, 0)


def test_beam_search_of_full_width_sorts_all_sequences(network, context, mode):
    number = len(all_sequences())
    said = TokenSequences(context, network, LENGTH)
    sequences, log_prob = mode(lambda: said.beam_search(number + 2))()
    exact = said.log_prob(all_sequences()[:, None, None]).numpy()
    best = np.sort(exact, axis=0)[::-1]
    np.testing.assert_allclose(np.moveaxis(log_prob, -1, 0)[:number], best, rtol=1e-5)
    assert np.all(np.isneginf(log_prob[..., number:]))  # there are no more
    np.testing.assert_array_equal(sequences[..., 0, :], all_sequences()[exact.argmax(axis=0)])
    # Whatever the width, a sequence's probability is its own.
    few, of_few = said.beam_search(3)
    np.testing.assert_allclose(
        np.moveaxis(of_few, -1, 0), said.log_prob(np.moveaxis(few, -2, 0)), rtol=1e-5
    )


def test_the_greedy_sequence_is_the_best_symbol_each_time(network, context, mode):
    greedy = mode(lambda: TokenSequences(context, network, LENGTH).mode())().numpy()
    one = TokenSequences(context, network, LENGTH).beam_search(1)[0]
    np.testing.assert_array_equal(greedy, one[..., 0, :])
    for row, found in zip(context.reshape(-1, CONTEXT), greedy.reshape(-1, LENGTH), strict=True):
        said = []
        while len(said) < LENGTH and END not in said:
            rest = [PAD] * (LENGTH - len(said) - 1)
            further = [[*said, symbol, *rest] for symbol in range(END, VOCABULARY)]
            # Of beginnings: behind a symbol that is not the end everything is open.
            said.append(END + int(np.argmax([naive_log_prob(network, row, s) for s in further])))
        assert found.tolist() == said + [PAD] * (LENGTH - len(said))


def test_samples_have_the_sequences_frequencies_and_repeat_with_their_seed(network, context, mode):
    said = TokenSequences(context[0, 0], network, LENGTH)
    draw = mode(lambda seed: said.sample(20_000, seed=seed))
    samples = draw(tf.constant([0, 1])).numpy()
    code = samples @ VOCABULARY ** np.arange(LENGTH)
    for sequence in all_sequences():
        expected = float(said.prob(sequence))
        found = np.mean(code == sequence @ VOCABULARY ** np.arange(LENGTH))
        assert abs(found - expected) < 5 * np.sqrt(expected / 20_000) + 1e-4
    np.testing.assert_array_equal(samples, draw(tf.constant([0, 1])))
    assert not np.array_equal(samples, draw(tf.constant([0, 2])))


def test_shapes_of_samples_and_temperature_0_is_greedy(network, context):
    said = TokenSequences(context, network, LENGTH)
    assert said.batch_shape == (2, 3) and said.event_shape == (LENGTH,)
    assert said.sample([4, 5], seed=[0, 1]).shape == (4, 5, 2, 3, LENGTH)
    cold = said.sample(4, seed=[0, 1], temperature=0.0)
    np.testing.assert_array_equal(cold, np.broadcast_to(said.mode(), cold.shape))
    np.testing.assert_array_equal(said.sample(seed=7), said.sample(seed=7))
    same = TokenSequences(tf.zeros([50, CONTEXT]), network, LENGTH)  # rows draw apart
    assert len(np.unique(same.sample(seed=3), axis=0)) > 5


def test_numbers_that_make_no_sense_are_refused(network, context):
    with pytest.raises(ValueError, match="width"):
        TokenSequences(context, network, LENGTH).beam_search(0)
    with pytest.raises(ValueError, match="word"):
        TokenSequence(3, 4, network)
    with pytest.raises(ValueError, match="length"):
        TokenSequence(5, 0, network)
    with pytest.raises(ValueError, match="words holds 2"):
        TokenSequence(5, 4, network, words=["a", "b"])


def test_a_mixture_goes_by_the_mean_of_the_probabilities(network, context, mode):
    number = len(all_sequences())
    search = mode(
        lambda: mixture_of_sequences(tf.constant(context), network, LENGTH).beam_search(number)
    )
    sequences, log_prob = search()
    each = TokenSequences(context, network, LENGTH).prob(all_sequences()[:, None, None])
    mean = np.mean(each, axis=-1)  # over the three contexts of a row
    np.testing.assert_allclose(np.exp(log_prob).T, np.sort(mean, axis=0)[::-1], rtol=1e-4)
    np.testing.assert_array_equal(sequences[:, 0], all_sequences()[mean.argmax(axis=0)])
    mixture = mixture_of_sequences(tf.constant(context), network, LENGTH)
    np.testing.assert_array_equal(mixture.mode(), mixture.beam_search(1)[0][:, 0])
