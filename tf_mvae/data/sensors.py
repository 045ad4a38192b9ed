"""Readings of many sensors of one latent, whose posterior and likelihood are known exactly."""

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.data.pipeline import Split

__all__ = ["LinearGaussianSensors"]

_EXAMPLES = {"train": 5000, "validation": 1000, "test": 1000}


class LinearGaussianSensors:
    """Sensors `x_i = W_i z + b_i + scale * noise`, `z ~ N(0, I)`.

    The columns of each `W_i` are at right angles, so that every sensor's likelihood is a
    diagonal Gaussian in z and the exact posterior of any subset is a product of such
    experts: with the gains `g_i` (the columns' lengths)

        precision = 1 + sum_i g_i^2 / scale^2
        loc = sum_i W_i^T (x_i - b_i) / scale^2 / precision.

    All arithmetic is numpy's in float64, and shares nothing with the models.

    Attributes:
        weights: `[sensor, reading, latent]`.
        biases: `[sensor, reading]`.
        scale: The noise's standard deviation.

    Example:

    ```python
    sensors = LinearGaussianSensors(10)
    x = sensors.sample(100, seed=1)                          # [100, 10, 3]
    loc, variance = sensors.posterior(x, np.ones([100, 10]))   # [100, 3] each
    ```
    """

    def __init__(self, num_sensors: int, latent_dim: int = 3, scale: float = 1.0, seed: int = 0):
        """Creates the sensors; the same seed makes the same ones."""
        rng = np.random.default_rng(seed)
        bases, _ = np.linalg.qr(rng.normal(size=[num_sensors, latent_dim, latent_dim]))
        # Each sensor sees some directions of the latent well and others badly: only then is
        # the latent known but for order and signs, and a trained model's can be compared.
        gains = np.exp(rng.uniform(np.log(0.1), np.log(2.0), [num_sensors, 1, latent_dim]))
        self.weights = bases * gains
        self.biases = rng.normal(size=[num_sensors, latent_dim])
        self.scale = scale

    def sample(self, number: int, seed: int | Sequence[int] = 0) -> np.ndarray:
        """Returns complete examples, float32 `[number, sensor, reading]`."""
        rng = np.random.default_rng(seed)
        z = rng.normal(size=[number, self.weights.shape[2]])
        mean = np.einsum("srl,nl->nsr", self.weights, z) + self.biases
        return (mean + self.scale * rng.normal(size=mean.shape)).astype(np.float32)

    def posterior(self, x: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the exact posterior's mean and variance, `[example, latent]`.

        Args:
            x: `[example, sensor, reading]`.
            mask: `[example, sensor]`, 1 where an example has a sensor.
        """
        gains = (self.weights**2).sum(1)
        precision = 1 + mask @ gains / self.scale**2
        centred = (np.asarray(x, np.float64) - self.biases) * mask[..., np.newaxis]
        loc = np.einsum("srl,nsr->nl", self.weights, centred) / self.scale**2 / precision
        return loc, 1 / precision

    def log_likelihood(self, x: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Returns the exact `log p` of what each example has, in nats, `[example]`.

        By `log p(x) = log p(x | z) + log p(z) - log p(z | x)` at z of 0.
        """
        loc, variance = self.posterior(x, mask)
        centred = (np.asarray(x, np.float64) - self.biases) * mask[..., np.newaxis]
        readings = mask.sum(1) * self.weights.shape[1]
        at_zero = -0.5 * (centred**2).sum((1, 2)) / self.scale**2
        at_zero -= readings * math.log(self.scale * math.sqrt(2 * math.pi))
        # The constants of p(z) and p(z | x) cancel.
        return at_zero + 0.5 * (loc**2 / variance + np.log(variance)).sum(1)

    def split(self, name: str) -> Split:
        """Returns the examples of `train`, `validation` or `test`, the same ones each time.

        Raises:
            UserError: There is no such split.
        """
        checks.one_of("split", name, sorted(_EXAMPLES))
        x = self.sample(_EXAMPLES[name], seed=[1, sorted(_EXAMPLES).index(name)])
        dataset = tf.data.Dataset.from_tensor_slices({"x": {"sensors": x}})
        return Split(dataset, len(x))
