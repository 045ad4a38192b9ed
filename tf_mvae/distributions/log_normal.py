"""A likelihood of positive numbers whose logarithms are normal."""

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tf_mvae.distributions.parameters import positive
from tf_mvae.distributions.positive import PositiveLikelihood

__all__ = ["LogNormal"]


@keras.saving.register_keras_serializable("tf_mvae")
class LogNormal(PositiveLikelihood):
    """Log-normal likelihood of positive numbers; a decoder outputs two numbers per entry.

        log x ~ Normal(a, s),   s = softplus(b) + 1e-3

    for a decoder's `[a, b]`, `[2, *event_shape]`; the mean is `exp(a + s^2 / 2)`. Encoders see
    logarithms.

    Example:

    ```python
    LogNormal([3]).quantile(tf.zeros([4, 2, 3]), 0.5)   # 1 everywhere
    ```
    """

    def distribution(self, parameters: tf.Tensor) -> tfd.Distribution:
        """See `Likelihood.distribution`."""
        loc, scale = self._parts(parameters)
        return self._independent(tfd.LogNormal(loc, positive(scale)))
