"""Networks with few different inputs run once per input, with the results of once per row."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_mvae import Modality, ModalityGroup, likelihoods
from tf_mvae.layers import (
    GroupedEmbedding,
    MaskedBatchNormalization,
    MaskedSequential,
    SeededDropout,
    grouped_mlp_encoder,
    mlp_encoder,
)
from tf_mvae.layers.lookup import looked_up, num_inputs

CLASSES, ROWS, MEMBERS = 3, 11, ["a", "b"]


class Counting(keras.layers.Dense):
    """A layer that is not known to treat rows one by one."""


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (mlp_encoder([8, 8], num_classes=4), 4),
        (grouped_mlp_encoder([8, 8], num_classes=2), 2),
        (keras.layers.Embedding(6, 3), 6),
        (GroupedEmbedding(5, 3), 5),
        (mlp_encoder([8, 8]), None),
        (grouped_mlp_encoder([8, 8]), None),
        (keras.layers.Embedding(6, 3, mask_zero=True), None),
        (MaskedSequential([keras.layers.Embedding(6, 3), MaskedBatchNormalization()]), None),
        (MaskedSequential([keras.layers.Embedding(6, 3), SeededDropout(0.1)]), None),
        (MaskedSequential([keras.layers.Embedding(6, 3), Counting(2)]), None),
        (MaskedSequential([keras.layers.Dense(3), keras.layers.Embedding(6, 3)]), None),
    ],
)
def test_networks_that_are_tables_are_known(network, expected):
    assert num_inputs(network) == expected


def test_rows_of_the_table_are_taken(mode):
    table = np.random.default_rng(0).normal(size=[2, CLASSES, 4]).astype(np.float32)
    inputs = np.array([[0, 2, 2, 1], [1, 1, 0, 2]])
    taken = mode(looked_up)(tf.constant(table), tf.constant(inputs))
    np.testing.assert_array_equal(taken, [table[m][inputs[m]] for m in range(2)])


def test_what_follows_a_table_must_treat_rows_by_itself_too():
    table = keras.layers.Embedding(6, 3)
    assert num_inputs(table, keras.layers.Dense(2)) == 6
    assert num_inputs(table, MaskedSequential([MaskedBatchNormalization()])) is None


def test_a_head_of_the_experts_own_sees_every_row():
    """Batch normalisation within it has the mean of the rows, not of the classes."""
    head = MaskedSequential([MaskedBatchNormalization(), keras.layers.Dense(4)])
    encoder = keras.layers.Embedding(CLASSES, 3)
    made = Modality("kind", likelihoods.Categorical(CLASSES), encoder, expert_head=head)
    made.connect(2)
    loc, log_variance = made.encode(np.array([0] * 9 + [1]), tf.ones([10]), training=True)
    mean = made.expert_head.layers[1].bias  # of what is normalised, weighted by rows, 0
    found = tf.reduce_mean(tf.concat([loc, log_variance], -1), 0)
    np.testing.assert_allclose(found, mean, atol=1e-5)


def modality():
    return Modality("kind", likelihoods.Categorical(CLASSES), mlp_encoder([6, 5], CLASSES))


def group():
    encoder = grouped_mlp_encoder([6, 5], num_classes=CLASSES)
    return ModalityGroup("kinds", MEMBERS, likelihoods.Categorical(CLASSES), encoder)


@pytest.mark.parametrize("make", [modality, group])
def test_experts_and_gradients_are_those_of_rows_one_by_one(make, mode):
    made = make()
    made.connect(2)
    rng = np.random.default_rng(1)
    made.set_weights([rng.normal(size=w.shape) for w in made.get_weights()])
    shape = [ROWS, *made.mask_shape]
    value = tf.constant(rng.integers(0, CLASSES, shape))
    mask = tf.constant(rng.integers(0, 2, shape), tf.float32)
    variables = [v.value for v in [*made.encoder.weights, *made.expert_head.weights]]

    def experts_and_gradients(parts):
        with tf.GradientTape() as tape:
            found = [made.encode(value[s], mask[s]) for s in parts]
            experts = [tf.concat(part, 0) for part in zip(*found, strict=True)]
            total = tf.add_n([tf.reduce_sum(part**2) for part in experts])
        gradients = tape.gradient(total, variables)
        return experts, [tf.convert_to_tensor(g) for g in gradients]

    def whole():
        return experts_and_gradients([slice(0, ROWS)])

    few = CLASSES  # no more rows than classes: each is encoded by itself
    by_rows = experts_and_gradients([slice(i, i + few) for i in range(0, ROWS, few)])
    for a, b in zip(*map(tf.nest.flatten, (mode(whole)(), by_rows)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("make", [modality, group])
def test_the_encoder_runs_once_a_class(make, monkeypatch):
    made, rows = make(), []
    made.connect(2)
    first = made.encoder.layers[0]
    call = first.call
    monkeypatch.setattr(first, "call", lambda inputs: rows.append(inputs.shape[-1]) or call(inputs))
    made.encode(np.zeros([ROWS, *made.mask_shape], np.int32), tf.ones([ROWS, *made.mask_shape]))
    made.encode(np.zeros([2, *made.mask_shape], np.int32), tf.ones([2, *made.mask_shape]))
    assert rows == [CLASSES, 2]
