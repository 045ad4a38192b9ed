"""Sampled classes for examples without a class."""

import numpy as np
import tensorflow as tf

from tests import tiny
from tf_mvae import MVAE, Modality, likelihoods
from tf_mvae.samplers import draw_classes


def test_missing_classes_are_drawn_from_the_latents_own():
    model = tiny.make_model()
    batch = tiny.make_batch()
    rows = 4000
    x = {name: np.repeat(value[:1], rows, axis=0) for name, value in batch["x"].items()}
    there = np.arange(rows) % 4  # nothing, a label, an image, and both
    mask = {
        "image": np.float32(there >= 2),
        "label": np.float32(there % 2),
        "reading": np.zeros(rows, np.float32),
    }
    z = np.tile(np.float32([[0.3, -1.0, 0.5]]), [rows, 1])[:, : model.latent_dim]
    completed, masks, counts = draw_classes(
        model, tf.nest.map_structure(tf.constant, x), mask, tf.constant(z), tf.constant([1, 2])
    )
    np.testing.assert_array_equal(counts, np.float32(there >= 2))
    np.testing.assert_array_equal(masks["label"], np.float32(there > 0))
    np.testing.assert_array_equal(masks["image"], mask["image"])
    kept = there != 2
    np.testing.assert_array_equal(completed["label"][kept], x["label"][kept])
    probabilities = model.decode(z[:1])["label"].probs_parameter()[0].numpy()
    shares = np.bincount(completed["label"][~kept], minlength=len(probabilities)) / (rows // 4)
    deviation = np.sqrt(probabilities * (1 - probabilities) / (rows // 4))
    assert np.all(np.abs(shares - probabilities) < 4.5 * deviation + 1e-9)


def test_whole_examples_and_models_without_classes_stay_as_they_are():
    model = tiny.make_model()
    batch = tiny.make_batch(np.ones([4, 3]))
    x, mask = batch["x"], {name: np.ones(4, np.float32) for name in batch["x"]}
    z = tf.zeros([4, model.latent_dim])
    found, masks, counts = draw_classes(model, x, mask, z, tf.constant([1, 2]))
    for name, value in x.items():
        np.testing.assert_array_equal(found[name], value)
        np.testing.assert_array_equal(masks[name], 1)
    np.testing.assert_array_equal(counts, 1)


def test_an_example_of_a_model_without_classes_counts_unless_it_has_nothing():
    model = MVAE([Modality(name, likelihoods.Normal([2])) for name in ("a", "b")], latent_dim=2)
    x = {name: np.zeros([3, 2], np.float32) for name in ("a", "b")}
    mask = {"a": np.float32([0, 0, 1]), "b": np.float32([0, 1, 1])}
    counts = draw_classes(model, x, mask, tf.zeros([3, 2]), tf.constant([1, 2]))[2]
    np.testing.assert_array_equal(counts, [0, 1, 1])
