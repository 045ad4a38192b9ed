"""A small classifier that is trained on real images and classifies generated ones."""

import math
import pathlib

import keras
import tensorflow as tf

from tf_mvae.data.pipeline import Split, training_batches
from tf_mvae.errors import UserError
from tf_mvae.evaluation.kept import kept_network
from tf_mvae.evaluation.run import Run
from tf_mvae.modality import Modality

__all__ = ["kept_classifier", "labelled_split", "load_or_train", "train_classifier"]

# Training examples, with repetition. For MNIST: four passes over 55,000 images, and 99 % accuracy
# on the test set.
_JUDGE_EXAMPLES = 220_000
_BATCH = 100
_SEED = 0


def train_classifier(
    batches: tf.data.Dataset, image: Modality, label: Modality, seed: int = 0
) -> keras.Model:
    """Trains a classifier from images to classes, or to sequences of symbols, on real examples.

    The network has two convolutions and two dense layers. Generated images are means, with less
    contrast and less sharpness than real ones. So the classifier standardises every image, and is
    trained on real images that are blurred by a random amount. (Without these two steps it
    misclassifies all generated images of some classes.)

    Args:
        batches: Batches of the training split, `{"x": {...}}`, with all modalities observed, and
            repeated as often as the classifier is to see them.
        image: The image modality.
        label: The class modality, or one of sequences of symbols.
        seed: The seed of the weights and of dropout.

    Returns:
        A compiled Keras model from `[batch, height, width, channels]` in [0, 1] to logits,
        `[batch, classes]`, or `[batch, length, symbols]`.
    """
    keras.utils.set_random_seed(seed)
    shape = _logits_shape(label)
    model = keras.Sequential(
        [
            keras.Input(image.likelihood.event_shape),
            keras.layers.LayerNormalization(axis=[1, 2, 3], center=False, scale=False),
            keras.layers.Conv2D(16, 5, strides=2, padding="same", activation="silu"),
            keras.layers.Conv2D(32, 3, strides=2, padding="same", activation="silu"),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.3, seed=seed),
            keras.layers.Dense(128, activation="silu"),
            keras.layers.Dense(math.prod(shape)),
            *[keras.layers.Reshape(shape)] * (len(shape) > 1),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # No XLA: on a CPU its convolutions take six times as long.
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])

    def pair(index, batch):
        # A random mean of the image and its average over 5 x 5 pixels, an amount for each image.
        pixels = image.likelihood.prepare(batch["x"][image.name])
        shape = [tf.shape(pixels)[0], 1, 1, 1]
        amount = tf.random.stateless_uniform(shape, tf.stack([seed, tf.cast(index, tf.int32)]))
        blurred = tf.nn.avg_pool2d(pixels, 5, 1, "SAME")
        return (1 - amount) * pixels + amount * blurred, batch["x"][label.name]

    model.fit(batches.enumerate().map(pair), verbose=0, shuffle=False)
    return model


def load_or_train(
    path: pathlib.Path, batches: tf.data.Dataset, image: Modality, label: Modality, seed: int = 0
) -> keras.Model:
    """Loads a classifier from a file, or trains it and writes the file; see `kept_network`."""
    return kept_network(
        path,
        image.likelihood.event_shape,
        _logits_shape(label),
        lambda: train_classifier(batches, image, label, seed=seed),
    )


def kept_classifier(run: Run, image: Modality, label: Modality) -> keras.Model:
    """Loads the classifier from the run directory, or trains and saves it.

    Its seed is always the same, not the run's, so that classifiers of the same data have the same
    features, and runs of several seeds can be compared. A classifier that is already in the run
    directory is used, whatever seed it has.

    Args:
        run: The run, whose real training examples the classifier is trained on.
        image: The image modality.
        label: The class modality, or one of sequences of symbols. The run's model need not have it.

    Raises:
        UserError: No training example has both.
    """
    path = run.directory / "evaluation" / f"classifier_{image.name}_{label.name}.keras"
    train = _with_both(labelled_split(run, "train", label), image, label)
    if not train.num_examples:
        raise UserError(
            f"no training example has both {image.name} and {label.name}, from which a judge of "
            "images learns; choose another --analysis"
        )
    batch_size = min(_BATCH, train.num_examples)
    steps = -(-_JUDGE_EXAMPLES // _BATCH)
    epochs = -(-steps // train.steps_per_epoch(batch_size))
    return load_or_train(path, training_batches(train, batch_size, epochs, _SEED), image, label)


def _with_both(split: Split, image: Modality, label: Modality) -> Split:
    """Returns the examples that have an image and a label, without their other modalities."""
    if split.dataset.element_spec["x"].keys() > {image.name, label.name}:
        split = split.only([image.name, label.name])  # a cache then holds these two only
    return split.complete()


def labelled_split(run: Run, name: str, label: Modality) -> Split:
    """Returns a split of a run, with the label from the data set if the model does not have it."""
    split = run.split(name)
    if label.name in split.dataset.element_spec["x"]:
        return split

    def add(example, own):
        return {**example, "x": {**example["x"], label.name: own}}

    return split.zip(run.labels(name), add)


def _logits_shape(label: Modality) -> tuple[int, ...]:
    """Returns the shape of one example's logits."""
    likelihood = label.likelihood
    if likelihood.is_sequence:
        return (likelihood.length, likelihood.vocabulary_size)
    return (likelihood.num_classes,)
