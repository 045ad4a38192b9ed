"""A small classifier of real images, which judges generated ones."""

import pathlib
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_mvae.evaluation.kept import kept_network
from tf_mvae.modality import Modality

__all__ = ["judge_accuracy", "load_or_train", "train_classifier"]


def train_classifier(
    batches: tf.data.Dataset, image: Modality, label: Modality, seed: int = 0
) -> keras.Model:
    """Trains a classifier from images to classes on real examples.

    Two convolutions and two dense layers. A generated image is a mean, softer and paler
    than a real one, so the classifier standardises every image and sees each real one
    blurred by a random amount: it has to go by the shape. (One that does neither names
    whole classes of such means wrong, others all right.)

    Args:
        batches: Batches of the training split, `{"x": {...}}`, every modality present, as
            often as they are to be seen.
        image: The image modality.
        label: The class modality.
        seed: Seed of its weights.

    Returns:
        A compiled Keras model from `[batch, height, width, channels]` in [0, 1] to logits.
    """
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input(image.likelihood.event_shape),
            keras.layers.LayerNormalization(axis=[1, 2, 3], center=False, scale=False),
            keras.layers.Conv2D(16, 5, strides=2, padding="same", activation="silu"),
            keras.layers.Conv2D(32, 3, strides=2, padding="same", activation="silu"),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.3, seed=seed),
            keras.layers.Dense(128, activation="silu"),
            keras.layers.Dense(label.likelihood.num_classes),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # Not compiled by XLA: its convolutions take six times as long on a CPU.
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])

    def pair(index, batch):
        pixels = image.likelihood.prepare(batch["x"][image.name])
        shape = [tf.shape(pixels)[0], 1, 1, 1]
        amount = tf.random.stateless_uniform(shape, tf.stack([seed, tf.cast(index, tf.int32)]))
        blurred = tf.nn.avg_pool2d(pixels, 5, 1, "SAME")
        return (1 - amount) * pixels + amount * blurred, batch["x"][label.name]

    model.fit(batches.enumerate().map(pair), verbose=0, shuffle=False)
    return model


def judge_accuracy(
    classifier: keras.Model, batches: Iterable[Any], image: Modality, label: Modality
) -> tuple[int, int]:
    """Counts how many real images the classifier names right.

    Returns:
        `(right, number)`.
    """
    right = number = 0
    for batch in batches:
        logits = classifier(image.likelihood.prepare(batch["x"][image.name]), training=False)
        true = np.asarray(batch["x"][label.name])
        right += int(np.sum(np.argmax(logits, -1) == true))
        number += len(true)
    return right, number


def load_or_train(
    path: pathlib.Path, batches: tf.data.Dataset, image: Modality, label: Modality, seed: int = 0
) -> keras.Model:
    """Loads a classifier from a file, or trains it and writes the file; see `kept_network`."""
    return kept_network(
        path,
        image.likelihood.event_shape,
        (label.likelihood.num_classes,),
        lambda: train_classifier(batches, image, label, seed=seed),
    )
