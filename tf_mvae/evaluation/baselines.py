"""Classifiers to compare with: a class predicted from the rest by means that everybody knows.

Each learns from the paired examples; those with features of their own (autoencoder, VAE,
RBM) learn these from examples without their classes, and logistic regression on them.
scikit-learn has what it has; networks are Keras'.
"""

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_mvae.errors import UserError
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

    The strength of its penalty is chosen by five-fold cross-validation where every class
    has ten examples and there are 6,000 at most; otherwise it is scikit-learn's usual one.

    Args:
        features: `[examples, ...]`; each is brought to a mean of 0 and a common scale.
        labels: `[examples]`.

    Returns:
        From features to classes, `[examples]`.

    Raises:
        UserError: scikit-learn is not installed, or there are fewer than two classes.
    """
    linear_model = _sklearn("linear_model")
    if len(np.unique(labels)) < 2:
        raise UserError("a classifier needs paired examples of two classes at least")
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
    """Trains the modality's encoder with a layer of classes on top: the same size as the model's.

    Adam, a learning rate that falls from 1e-3 to 0 along half a cosine, batches of 100.

    Args:
        modality: What is read; its encoder is trained, so hand in one that nobody else uses.
        target: The class.
        values: Raw data, `[examples, *event_shape]`.
        labels: `[examples]`.
        steps: Of the optimizer.
        seed: Of the order.

    Returns:
        From raw data to classes, `[examples]`.
    """
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


def autoencoder(
    modality: Modality, values: np.ndarray, latent_dim: int, steps: int, seed: int
) -> Features:
    """Trains an autoencoder of the modality's encoder and decoder.

    The loss is minus the modality's log-likelihood.

    Args:
        modality: Its networks are trained, so hand in one that nobody else uses.
        values: Raw data, `[examples, *event_shape]`.
        latent_dim: Size of the code.
        steps: Of the optimizer.
        seed: Of the order.

    Returns:
        From raw data to codes, `[examples, latent_dim]`.
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
    """Returns networks from one modality to a code and on to another, or the same one.

    Args:
        given: Its encoder is the first part; hand in one that nobody else uses.
        target: Its decoder is the last part, likewise.
        latent_dim: Size of the code, a linear layer between the two.

    Returns:
        The network from prepared data to codes, `[batch, latent_dim]`, and the whole one, to
        the parameters of the target's likelihood.
    """
    inputs = keras.Input(given.likelihood.event_shape)
    code = keras.layers.Dense(latent_dim)(keras.layers.Flatten()(given.encoder(inputs)))
    outputs = keras.layers.Reshape(target.likelihood.parameter_shape)(
        keras.layers.Flatten()(target.decoder(code))
    )
    return keras.Model(inputs, code), keras.Model(inputs, outputs)


def rbm(modality: Modality, values: np.ndarray, latent_dim: int, steps: int, seed: int) -> Features:
    """Trains scikit-learn's restricted Boltzmann machine on values between 0 and 1.

    Args:
        modality: What is read.
        values: Raw data, `[examples, *event_shape]`.
        latent_dim: Hidden units.
        steps: Of batches of 100, rounded to whole passes.
        seed: Of everything random.

    Returns:
        From raw data to probabilities of hidden units, `[examples, latent_dim]`.

    Raises:
        UserError: The values leave [0, 1].
    """
    rows = _rows(_prepared(modality, values))
    if rows.min() < 0 or rows.max() > 1:
        raise UserError(f"an RBM needs values between 0 and 1; {modality.name!r} has others")
    passes = max(1, round(steps * _BATCH_SIZE / len(rows)))
    model = _sklearn("neural_network").BernoulliRBM(
        latent_dim, learning_rate=0.02, batch_size=_BATCH_SIZE, n_iter=passes, random_state=seed
    )
    model.fit(rows)
    return lambda given: model.transform(_rows(_prepared(modality, given)))


def vae(modality: Modality, values: np.ndarray, latent_dim: int, steps: int, seed: int) -> Features:
    """Trains a `tf_mvae.VAE`, its KL weight rising over the first half of the steps.

    Args:
        modality: Its networks are trained, so hand in one that nobody else uses.
        values: Raw data, `[examples, *event_shape]`.
        latent_dim: Size of the latent.
        steps: Of the optimizer.
        seed: Of order and noise.

    Returns:
        From raw data to posterior means, `[examples, latent_dim]`.
    """
    annealing = LinearAnnealing(steps // 2)
    model = VAE([modality], latent_dim, kl_weight=annealing, seed=seed)
    rate = keras.optimizers.schedules.CosineDecay(1e-3, steps)
    model.compile(keras.optimizers.Adam(rate))
    model.fit(_batches({"x": {modality.name: values}}, steps, seed), verbose=0)
    mean = tf.function(lambda given: model.posterior({modality.name: given}).mean())

    def features(given):
        return np.concatenate([mean(given[i : i + 500]) for i in range(0, len(given), 500)])

    return features


# By name: from a modality, raw data, the number of features, steps and a seed to features.
FEATURES = {"autoencoder": autoencoder, "vae": vae, "rbm": rbm}


def _fit(
    model: keras.Model, loss: Callable, x: np.ndarray, y: np.ndarray, steps: int, seed: int
) -> None:
    rate = keras.optimizers.schedules.CosineDecay(1e-3, steps)
    model.compile(keras.optimizers.Adam(rate), loss)
    model.fit(_batches((x, y), steps, seed), shuffle=False, verbose=0)


def _batches(arrays: Any, steps: int, seed: int) -> tf.data.Dataset:
    examples = tf.data.Dataset.from_tensor_slices(arrays)
    shuffled = examples.shuffle(examples.cardinality(), seed=seed).repeat()
    return shuffled.batch(_BATCH_SIZE, drop_remainder=True).take(steps)


def _prepared(modality: Modality, values: np.ndarray) -> np.ndarray:
    return modality.prepare(values, tf.ones(len(values))).numpy()


def _rows(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float32).reshape(len(values), -1)


def _sklearn(part: str) -> ModuleType:
    try:
        return importlib.import_module(f"sklearn.{part}")
    except ImportError as error:
        raise UserError('this needs scikit-learn: pip install "tf-mvae[sweep]"') from error
