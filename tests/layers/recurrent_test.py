"""Recurrent networks against loops, and the effects of padding and word dropout."""

import gc

import keras
import numpy as np
import pytest
import scipy.special
import tensorflow as tf
from keras.src.saving import serialization_lib

from tests import tiny
from tf_mvae.distributions.sequences import TokenSequences
from tf_mvae.layers import RecurrentDecoder, RecurrentEncoder, unrolled
from tf_mvae.layers.dropout import layer_seeds
from tf_mvae.ops.tokens import END, PAD


@pytest.fixture(params=["last", "max"])
def encoder(request):
    encoder = RecurrentEncoder(7, 3, 4, request.param)
    encoder(tf.zeros([1, 5], tf.int32))
    rng = np.random.default_rng(0)
    encoder.set_weights([rng.normal(size=w.shape) for w in encoder.get_weights()])
    return encoder


def naive_gru(cell, inputs):
    """The last state of Keras' GRU over `[steps, size]`, in float64."""
    kernel, recurrent, (bias, recurrent_bias) = (w.astype(np.float64) for w in cell.get_weights())
    state = np.zeros(recurrent.shape[0])
    for row in inputs:
        update, reset, new = np.split(row @ kernel + bias, 3)
        update_of, reset_of, new_of = np.split(state @ recurrent + recurrent_bias, 3)
        update = scipy.special.expit(update + update_of)
        candidate = np.tanh(new + scipy.special.expit(reset + reset_of) * new_of)
        state = update * state + (1 - update) * candidate
    return state


def test_features_are_those_of_loops_over_the_words(encoder, mode):
    rows = np.array([[3, 4, 5, END, PAD], [6, END, PAD, PAD, PAD], [3, 3, 4, 5, 6]], np.int32)
    table = encoder.embedding.get_weights()[0].astype(np.float64)
    expected = []
    for row in rows:
        said = table[row[row != PAD]]
        if encoder.pooling == "max":
            states = [
                naive_gru(encoder.forward, said[: place + 1])
                + naive_gru(encoder.backward, said[place:][::-1])
                for place in range(len(said))
            ]
            expected.append(np.max(states, axis=0))
            continue
        forward = naive_gru(encoder.forward, said)
        expected.append(forward + naive_gru(encoder.backward, said[::-1]))
    np.testing.assert_allclose(mode(encoder)(rows), expected, rtol=1e-4, atol=1e-5)


def test_encoders_that_are_loaded_together_share_nothing():
    config = keras.saving.serialize_keras_object(RecurrentEncoder(7, 3, 4))
    for _ in range(3):
        with serialization_lib.ObjectSharingScope():
            loaded = []
            for _ in range(20):
                loaded.append(keras.saving.deserialize_keras_object(config))
                gc.collect(1)
        layers = [layer for encoder in loaded for layer in (encoder.forward, encoder.backward)]
        assert len({id(layer) for layer in layers}) == 40
        assert [layer.go_backwards for layer in layers] == [False, True] * 20


def test_padding_and_what_stands_behind_the_end_change_nothing(encoder, mode):
    short = np.array([[3, 4, END]], np.int32)
    long = np.array([[3, 4, END, 5, PAD, 6, END]], np.int32)
    np.testing.assert_array_equal(mode(encoder)(short), mode(encoder)(long))
    assert not np.any(encoder(np.zeros([1, 4], np.int32)))


def test_word_dropout_hides_words_from_the_steps_behind_them():
    decoder = RecurrentDecoder(9, 3, 4, 1, word_dropout=0.5)
    context, rows = tf.ones([40, 2]), np.full([40, 6], 5, np.int32)

    def logits(seed, training=True):
        with layer_seeds(tf.constant(seed)):
            return decoder(context, rows, training=training).numpy()

    once, again, other = logits([0, 1]), logits([0, 1]), logits([0, 2])
    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once, other)
    # The first symbol comes behind the start, which is never hidden.
    assert len(np.unique(once[:, 0].round(5), axis=0)) == 1
    assert len(np.unique(once[:, 1].round(5), axis=0)) == 2  # hidden or not
    np.testing.assert_array_equal(logits([0, 1], False), decoder(context, rows))
    with pytest.raises(ValueError, match="needs a seed"):
        decoder(context, rows, training=True)


def test_with_all_words_hidden_they_teach_nothing():
    decoder = RecurrentDecoder(9, 3, 4, 2, word_dropout=1.0)
    context = tf.ones([1, 2])
    rows = np.array([[3, 4, 2]]), np.array([[7, 8, 2]])
    with layer_seeds(tf.constant([0, 1])):
        hidden = [decoder(context, row, training=True) for row in rows]
    np.testing.assert_array_equal(*hidden)
    assert not np.array_equal(*(decoder(context, row) for row in rows))


def test_many_contexts_for_one_sequence_are_each_by_itself(mode):
    decoder = RecurrentDecoder(9, 3, 4, 2)
    context = np.random.default_rng(0).normal(size=[3, 2, 4, 5]).astype(np.float32)
    rows = np.array([[3, 4, 2], [5, 2, 0], [3, 3, 3], [2, 0, 0]], np.int32)
    together = mode(decoder)(context, rows)
    assert together.shape == (3, 2, 4, 3, 7)
    each = [[decoder(part, rows) for part in parts] for parts in context]
    tiny.assert_close(together, np.array(each), 1e-5, 1e-5)


def test_numbers_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="num_layers"):
        RecurrentDecoder(9, num_layers=0)
    with pytest.raises(ValueError, match="word_dropout"):
        RecurrentDecoder(9, word_dropout=1.5)


def loops_in(concrete):
    """The loops and lists in a program, its functions included."""
    graph = concrete.graph.as_graph_def()
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    return {n.op for n in nodes if "While" in n.op or "TensorList" in n.op}


def test_unrolled_programs_hold_no_loop_and_give_the_same(encoder):
    decoder = RecurrentDecoder(9, 3, 4, 2)
    own = keras.Sequential([keras.layers.Embedding(7, 3), keras.layers.LSTM(4)])
    rows = tf.constant([[3, 4, 5, END, PAD], [6, END, PAD, PAD, PAD]])
    said = TokenSequences(tf.constant([[0.3, -1.0], [2.0, 0.5]]), decoder, 5)
    programs = {
        "encoder": lambda: encoder(rows),
        "another's layer": lambda: own(rows),
        "teacher forcing": lambda: said.log_prob(rows),
        "greedy": said.mode,
        "samples": lambda: said.sample(3, seed=[0, 1]),
        "beam search": lambda: said.beam_search(3)[0],
    }
    for name, program in programs.items():
        expected = program()
        assert loops_in(tf.function(program).get_concrete_function()), name
        with unrolled(encoder, own):
            concrete = tf.function(program).get_concrete_function()
        assert not loops_in(concrete), name
        tiny.assert_close(concrete(), expected, 1e-6, 1e-6)
    assert not (encoder.forward.unroll or own.layers[1].unroll)
