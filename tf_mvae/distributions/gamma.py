"""A likelihood of positive numbers whose spread grows with their mean."""

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tf_mvae.distributions.parameters import MAX_LOG_RATE, capped, positive
from tf_mvae.distributions.positive import PositiveLikelihood

__all__ = ["Gamma"]

_MOST = 1e4


@keras.saving.register_keras_serializable("tf_mvae")
class Gamma(PositiveLikelihood):
    """Gamma likelihood of positive numbers; a decoder outputs two numbers per entry.

        p(x) ∝ x^(k - 1) exp(-k x / m),   m = exp(a),  k = softplus(b) + 1e-3

    for a decoder's `[a, b]`, `[2, *event_shape]`: the mean is m and the variance `m^2 / k`
    (McCullagh and Nelder, Generalized Linear Models, 1989). a above 30 and k above 10,000 are
    replaced by these. Encoders see logarithms.

    Example:

    ```python
    Gamma([3]).expected_value(tf.zeros([4, 2, 3]))   # 1 everywhere
    ```
    """

    def distribution(self, parameters: tf.Tensor) -> tfd.Distribution:
        """See `Likelihood.distribution`."""
        log_mean, shape = self._parts(parameters)
        shape = capped(positive(shape), _MOST)
        log_rate = tf.math.log(shape) - self._bounded(log_mean)
        return self._independent(tfd.Gamma(shape, log_rate=log_rate))

    def expected_value(self, parameters: tf.Tensor) -> tf.Tensor:
        """See `Likelihood.expected_value`."""
        return tf.exp(self._bounded(self._parts(parameters)[0]))

    def _bounded(self, log_mean: tf.Tensor) -> tf.Tensor:
        """Returns the logarithm of a mean, between -30 and 30."""
        return capped(-capped(-log_mean, MAX_LOG_RATE), MAX_LOG_RATE)
