"""Judges of generated examples: networks that classify images, and give their features."""

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

__all__ = ["Judge", "Verdict"]

_BATCH_SIZE = 500


class Verdict(NamedTuple):
    """The result of a judge.

    Attributes:
        said: The predicted value of each example, `[examples, ...]`: a class, attributes or a
            string (`tf_mvae.evaluation.concepts`).
        features: The features of each example, `[examples, features]`.
    """

    said: np.ndarray
    features: np.ndarray


class Judge:
    """Predicts a property of images by a network that is trained on real images.

    There is one judge for each pair of a modality and a concept. Features are the inputs of the
    network's last dense layer.

    Example:
    ```python
    from tf_mvae.evaluation.judges import Judge

    layers = [keras.layers.Flatten(), keras.layers.Dense(16, "relu"), keras.layers.Dense(10)]
    network = keras.Sequential([keras.Input([28, 28, 1]), *layers])
    judge = Judge(network, lambda logits: np.argmax(logits, -1))
    judge.predict(images)  # [20]
    judge.features(images)  # [20, 16]
    ```
    """

    def __init__(self, network: keras.Model, decide: Callable[[np.ndarray], np.ndarray]):
        """Makes a judge of a trained network.

        Args:
            network: A network from prepared data, `[batch, *event_shape]`, to outputs; its last
                dense layer's inputs are the features.
            decide: A function from outputs to predicted values, `[batch, ...]`.
        """
        dense = [layer for layer in network.layers if isinstance(layer, keras.layers.Dense)]
        self._decide = decide
        both = keras.Model(network.inputs, [network.outputs[0], dense[-1].input])
        self._both = tf.function(
            lambda values: both(values, training=False), autograph=False, reduce_retracing=True
        )

    def __call__(self, values: np.ndarray) -> Verdict:
        """Predicts values and features of prepared examples.

        Args:
            values: `[examples, *event_shape]`, such as pixels in [0, 1].
        """
        said, features = [], []
        for start in range(0, len(values), _BATCH_SIZE):
            part = tf.constant(values[start : start + _BATCH_SIZE], tf.float32)
            outputs, inner = self._both(part)
            said.append(self._decide(outputs.numpy()))
            features.append(tf.reshape(inner, [len(part), -1]).numpy())
        return Verdict(np.concatenate(said), np.concatenate(features))

    def predict(self, values: np.ndarray) -> np.ndarray:
        """Returns the predicted value of each example; see `Verdict.said`."""
        return self(values).said

    def features(self, values: np.ndarray) -> np.ndarray:
        """Returns the features of each example; see `Verdict.features`."""
        return self(values).features
