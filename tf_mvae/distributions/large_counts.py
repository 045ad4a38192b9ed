"""A Poisson distribution whose probabilities of large counts are exact."""

import math

import tensorflow as tf
from tensorflow_probability import distributions as tfd

__all__ = ["LargePoisson"]

_LARGE = 1000.0
_CLOSE = 0.05


class LargePoisson(tfd.Poisson):
    """TFP's distribution, with another form of the log-probability of counts above 1,000.

    In float32 the terms of `x log(rate) - rate - log(x!)` cancel: of a count of 1e6 the difference
    is wrong by half a nat. With Stirling's series of `log(x!)`

        log p(x) = -rate f(x / rate) - log(2 pi x) / 2 - 1 / (12 x) + 1 / (360 x^3)
        f(r) = r log(r) - r + 1 = d^2 / 2 - d^3 / 6 + d^4 / 12 - ...,  d = r - 1

    (Loader, *Fast and accurate computation of binomial probabilities*, 2000).
    """

    def _log_prob(self, x):
        x = tf.convert_to_tensor(x, self.dtype)
        rate = self._rate_parameter_no_checks()
        is_large = (x > _LARGE) & (rate > 1)
        # Whatever is not large must have no effect on gradients either.
        count, rate = (tf.where(is_large, value, _LARGE) for value in (x, rate))
        difference = (count - rate) / rate
        close = tf.clip_by_value(difference, -_CLOSE, _CLOSE)
        series = close**2 * (1 / 2 - close / 6 + close**2 / 12)
        ratio = count / rate
        far = ratio * tf.math.log(ratio) - ratio + 1
        inverse = 1 / count
        stirling = 0.5 * tf.math.log(2 * math.pi * count) + inverse / 12 - inverse**3 / 360
        large = -rate * tf.where(tf.abs(difference) < _CLOSE, series, far) - stirling
        return tf.where(is_large, large, super()._log_prob(x))
