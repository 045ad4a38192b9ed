"""Judges of generated examples: what an image shows, and where it lies among others."""

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

__all__ = ["Judge", "Verdict"]

_BATCH_SIZE = 500


class Verdict(NamedTuple):
    """What a judge says of some examples.

    Attributes:
        said: What each shows, `[examples, ...]` (`tf_mvae.evaluation.concepts`).
        features: Where each lies, `[examples, features]`.
    """

    said: np.ndarray
    features: np.ndarray


class Judge:
    """Says what images show, by a network that is trained on real ones.

    There is one for each modality and concept. Features are the inputs of the network's last
    dense layer.

    Example:
    ```python
    judge = Judge(kept_classifier(run, image, label), lambda logits: np.argmax(logits, -1))
    judge.predict(pictures), judge.features(pictures)
    ```
    """

    def __init__(self, network: keras.Model, decide: Callable[[np.ndarray], np.ndarray]):
        """Makes a judge of a trained network.

        Args:
            network: From prepared data, `[batch, *event_shape]`, to outputs, with a dense layer.
            decide: From the outputs to what an example shows, `[batch, ...]`.
        """
        dense = [layer for layer in network.layers if isinstance(layer, keras.layers.Dense)]
        self._decide = decide
        both = keras.Model(network.inputs, [network.outputs[0], dense[-1].input])
        self._both = tf.function(
            lambda values: both(values, training=False), autograph=False, reduce_retracing=True
        )

    def __call__(self, values: np.ndarray) -> Verdict:
        """Judges prepared examples.

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
        """Returns what each example shows; see `Verdict`."""
        return self(values).said

    def features(self, values: np.ndarray) -> np.ndarray:
        """Returns where each example lies; see `Verdict`."""
        return self(values).features
