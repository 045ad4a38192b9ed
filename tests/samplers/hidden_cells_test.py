"""Samplers of tables learn the distribution of the latent given single cells."""

import keras
import numpy as np
import tensorflow as tf

from tf_mvae import MVAE, Modality, likelihoods, samplers

NOISE = 0.5
EXACT = 1 / (1 + 2 / NOISE**2)  # variance of z given both cells


class Encoder(keras.layers.Layer):
    """An encoder that returns the sum of the cells and the number of missing ones."""

    def call(self, inputs):
        values, there = tf.split(inputs, 2, axis=-1)
        return tf.concat([tf.reduce_sum(values, -1, True), tf.reduce_sum(1 - there, -1, True)], -1)


def make_model():
    """x_i = z + noise, two cells; q(z | both) is exact and q(z | one) is wrong."""
    modality = Modality(
        "cells",
        likelihoods.Normal([2], scale=NOISE),
        Encoder(),
        keras.layers.Dense(2),
        element_mask=True,
        element_dropout=0.9,
    )
    model = MVAE([modality], latent_dim=1)
    modality.decoder.set_weights([np.ones([1, 2]), np.zeros(2)])
    # The expert is divided by the prior: precision 2 / noise^2, mean of the cells.
    head = np.array([[0.5, 0.0], [0.0, 0.5]])
    modality.expert_head.set_weights([head, np.array([0.0, np.log(NOISE**2 / 2)])])
    return model


def make_cells(rows=4000, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=[rows, 1])
    return (z + NOISE * rng.normal(size=[rows, 2])).astype(np.float32)


def test_a_sampler_knows_what_a_single_cell_says():
    model, cells = make_model(), make_cells()
    both = model.posterior({"cells": cells[:5]})
    np.testing.assert_allclose(both.mean()[:, 0], cells[:5].sum(1) * EXACT / NOISE**2, rtol=1e-4)
    sampler = samplers.MixtureDensity(1, 1, num_components=2, width=32)
    options = {"batch_size": 200, "learning_rate": 1e-2, "verbose": 0, "jit_compile": False}
    samplers.fit(model, {"x": {"cells": cells}}, sampler, epochs=30, **options)
    x = np.array([[1.5, np.nan], [np.nan, -1.0], [1.5, 1.0]], np.float32)
    exact = [1.5 / (1 + NOISE**2), -1.0 / (1 + NOISE**2), 2.5 * EXACT / NOISE**2]
    found = model.impute({"x": {"cells": x}}, 4000, (), seed=1)["cells"].mean
    # What q says of one cell is far from that.
    wrong = model.impute({"x": {"cells": x}}, 4000, (), seed=1, latents="posterior")["cells"].mean
    assert np.abs(wrong[:2, 0] - exact[:2]).min() > 0.2
    np.testing.assert_allclose(found[:, 0], exact, atol=0.12)


def test_hidden_cells_are_random_gaps_and_an_example_without_cells_lacks_the_modality():
    model = make_model()
    x, mask = {"cells": tf.constant(make_cells(2000))}, {"cells": tf.ones([2000])}
    hidden, there = samplers.hide_cells(model, x, mask, tf.constant([1, 2]))
    gaps = np.isnan(hidden["cells"])
    assert 0.4 < gaps.mean() < 0.5  # half of 0.9
    np.testing.assert_array_equal(hidden["cells"].numpy()[~gaps], x["cells"].numpy()[~gaps])
    np.testing.assert_array_equal(there["cells"], ~gaps.all(axis=1))
    again, _ = samplers.hide_cells(model, x, mask, tf.constant([1, 2]))
    np.testing.assert_array_equal(again["cells"], hidden["cells"])
