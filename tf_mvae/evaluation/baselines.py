"""Standard classifiers to compare a model with.

Each predicts a class from another modality and is trained on paired examples. `autoencoder`, `vae`
and `rbm` learn features from examples without classes, for a logistic regression on top. Logistic
regression and the RBM are scikit-learn's; the networks are Keras models.
"""

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_mvae.errors import UserError
from tf_mvae.extras import needing
from tf_mvae.modality import Modality
from tf_mvae.models import VAE, LinearAnnealing

__all__ = [
    "FEATURES",
    "autoencoder",
    "bottleneck_networks",
    "logistic_regression",
    "rbm",
    "supervised_network",
    "vae",
]

_BATCH_SIZE = 100

Features = Callable[[np.ndarray], np.ndarray]


def logistic_regression(features: np.ndarray, labels: np.ndarray) -> Callable:
    """Fits scikit-learn's logistic regression.

    If every class has at least 10 examples, and there are at most 6,000 examples, five-fold
    cross-validation chooses the penalty `C` among 0.001, 0.01, 0.1 and 1. Otherwise it is
    scikit-learn's default.

    Args:
        features: `[examples, ...]`; each is shifted to mean 0, and all are divided by one scale.
        labels: Integers, `[examples]`.

    Returns:
        A function from features to predicted classes, `[examples]`.

    Raises:
        UserError: scikit-learn is not installed, or there are fewer than two classes.
    """
    linear_model = _sklearn("linear_model")
    _check_classes(labels)
    rows = _rows(features)
    loc, scale = rows.mean(axis=0), rows.std() + 1e-8
    model = linear_model.LogisticRegression(max_iter=300)
    if np.bincount(labels)[np.unique(labels)].min() >= 10 and len(labels) <= 6_000:
        penalties = {"C": [0.001, 0.01, 0.1, 1.0]}
        model = _sklearn("model_selection").GridSearchCV(model, penalties, cv=5)
    model.fit((rows - loc) / scale, labels)
    return lambda given: model.predict((_rows(given) - loc) / scale)


def supervised_network(
    modality: Modality,
    target: Modality,
    values: np.ndarray,
    labels: np.ndarray,
    steps: int,
    seed: int,
) -> Callable:
    """Trains a classifier: the modality's encoder with one dense layer on top.

    It is trained with Adam, cosine decay of the learning rate from 1e-3 to 0 and batches of 100.

    Args:
        modality: The input; its encoder is trained, so pass one that is not used elsewhere.
        target: The class.
        values: Raw data, `[examples, *event_shape]`.
        labels: Integers, `[examples]`.
        steps: The number of optimizer steps.
        seed: The seed of the order of examples.

    Returns:
        A function from raw data to predicted classes, `[examples]`.

    Raises:
        UserError: There are fewer than two classes.
    """
    _check_classes(labels)
    inputs = keras.Input(modality.likelihood.event_shape)
    outputs = keras.layers.Dense(target.likelihood.num_classes)(
        keras.layers.Flatten()(modality.encoder(inputs))
    )
    model = keras.Model(inputs, outputs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    _fit(model, loss, _prepared(modality, values), labels, steps, seed)

    def predict(given):
        return model.predict(_prepared(modality, given), batch_size=500, verbose=0).argmax(-1)

    return predict


def _check_classes(labels: np.ndarray) -> None:
    if len(np.unique(labels)) < 2:
        raise UserError(
            "a classifier needs paired examples of at least two classes; give larger --fractions"
        )


def autoencoder(
    modality: Modality, values: np.ndarray, latent_dim: int, steps: int, seed: int
) -> Features:
    """Trains an autoencoder that consists of the modality's encoder and decoder.

    The loss is the negative log-likelihood `-log p(x | decoder(encoder(x)))`.

    Args:
        modality: The data; its networks are trained, so pass one that is not used elsewhere.
        values: Raw data, `[examples, *event_shape]`.
        latent_dim: The size of the code.
        steps: The number of optimizer steps.
        seed: The seed of the order of examples.

    Returns:
        A function from raw data to codes, `[examples, latent_dim]`.
    """
    encoder, network = bottleneck_networks(modality, modality, latent_dim)

    def loss(target, parameters):
        return -modality.likelihood.log_prob(parameters, target)

    prepared = _prepared(modality, values)
    _fit(network, loss, prepared, prepared, steps, seed)
    return lambda given: encoder.predict(_prepared(modality, given), batch_size=500, verbose=0)


def bottleneck_networks(
    given: Modality, target: Modality, latent_dim: int
) -> tuple[keras.Model, keras.Model]:
    """Joins the encoder of one modality and the decoder of another (or the same) by a code.

    Args:
        given: The input; its encoder is used, so pass one that is not used elsewhere.
        target: The output; its decoder is used, so pass one that is not used elsewhere.
        latent_dim: The size of the code, which is a linear layer between the two. If `given` has an
            `expert_head`, the code is the mean of its expert.

    Returns:
        A network from prepared data to codes, `[batch, latent_dim]`, and a network from prepared
        data to the parameters of the target's likelihood.
    """
    inputs = keras.Input(given.likelihood.event_shape)
    features = given.encoder(inputs)
    if given.has_own_head:
        code = keras.ops.split(given.expert_head(features), 2, axis=-1)[0]
        code = keras.layers.Flatten()(code)
    else:
        code = keras.layers.Dense(latent_dim)(keras.layers.Flatten()(features))
    outputs = keras.layers.Reshape(target.likelihood.parameter_shape)(
        keras.layers.Flatten()(target.decoder(code))
    )
    return keras.Model(inputs, code), keras.Model(inputs, outputs)


def rbm(modality: Modality, values: np.ndarray, latent_dim: int, steps: int, seed: int) -> Features:
    """Trains scikit-learn's restricted Boltzmann machine on values between 0 and 1.

    Args:
        modality: The data.
        values: Raw data, `[examples, *event_shape]`.
        latent_dim: The number of hidden units.
        steps: The number of batches of 100, rounded to complete passes over the data.
        seed: The random seed.

    Returns:
        A function from raw data to probabilities of hidden units, `[examples, latent_dim]`.

    Raises:
        UserError: A prepared value is outside [0, 1], or scikit-learn is not installed.
    """
    rows = _rows(_prepared(modality, values))
    if rows.min() < 0 or rows.max() > 1:
        raise UserError(
            f"an RBM needs values between 0 and 1, and {modality.name!r} has values from "
            f"{rows.min():g} to {rows.max():g}; choose another baseline"
        )
    passes = max(1, round(steps * _BATCH_SIZE / len(rows)))
    model = _sklearn("neural_network").BernoulliRBM(
        latent_dim, learning_rate=0.02, batch_size=_BATCH_SIZE, n_iter=passes, random_state=seed
    )
    model.fit(rows)
    return lambda given: model.transform(_rows(_prepared(modality, given)))


def vae(modality: Modality, values: np.ndarray, latent_dim: int, steps: int, seed: int) -> Features:
    """Trains a `tf_mvae.VAE` whose KL weight rises linearly over the first half of the steps.

    Args:
        modality: The data; its networks are trained, so pass one that is not used elsewhere.
        values: Raw data, `[examples, *event_shape]`.
        latent_dim: The size of the latent.
        steps: The number of optimizer steps.
        seed: The seed of the order of examples and of noise.

    Returns:
        A function from raw data to posterior means, `[examples, latent_dim]`.
    """
    annealing = LinearAnnealing(steps // 2)
    model = VAE([modality], latent_dim, kl_weight=annealing, seed=seed)
    rate = keras.optimizers.schedules.CosineDecay(1e-3, steps)
    model.compile(keras.optimizers.Adam(rate))
    model.fit(_batches({"x": {modality.name: values}}, steps, seed), verbose=0)
    mean = tf.function(
        lambda given: model.posterior({modality.name: given}).mean(), autograph=False
    )

    def features(given):
        return np.concatenate([mean(given[i : i + 500]) for i in range(0, len(given), 500)])

    return features


# Feature learners by name; each takes a modality, raw data, the number of features, the number of
# steps and a seed.
FEATURES = {"autoencoder": autoencoder, "vae": vae, "rbm": rbm}


def _fit(
    model: keras.Model, loss: Callable, x: np.ndarray, y: np.ndarray, steps: int, seed: int
) -> None:
    """Trains a Keras model with Adam and cosine decay of the learning rate."""
    rate = keras.optimizers.schedules.CosineDecay(1e-3, steps)
    model.compile(keras.optimizers.Adam(rate), loss)
    model.fit(_batches((x, y), steps, seed), shuffle=False, verbose=0)


def _batches(arrays: Any, steps: int, seed: int) -> tf.data.Dataset:
    """Returns `steps` batches of shuffled examples, over as many passes as needed."""
    examples = tf.data.Dataset.from_tensor_slices(arrays)
    shuffled = examples.shuffle(examples.cardinality(), seed=seed).repeat()
    return shuffled.batch(_BATCH_SIZE, drop_remainder=True).take(steps)


def _prepared(modality: Modality, values: np.ndarray) -> np.ndarray:
    return modality.prepare(values, tf.ones(len(values))).numpy()


def _rows(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float32).reshape(len(values), -1)


def _sklearn(part: str) -> ModuleType:
    with needing("this baseline", "sweep"):
        return importlib.import_module(f"sklearn.{part}")
