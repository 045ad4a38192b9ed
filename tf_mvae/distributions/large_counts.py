"""A Poisson distribution whose probabilities of large counts are exact."""

import math

import tensorflow as tf
from tensorflow_probability import distributions as tfd

__all__ = ["LargePoisson"]

_LARGE = 1000.0
_CLOSE = 0.05
_LARGE_RATE = 1e4


class LargePoisson(tfd.Poisson):
    """TFP's distribution, with another form of the log-probability of counts above 1,000.

    In float32 the terms of `x log(rate) - rate - log(x!)` cancel: of a count of 1e6 the difference
    is wrong by half a nat. With Stirling's series of `log(x!)`

        log p(x) = -rate f(x / rate) - log(2 pi x) / 2 - 1 / (12 x) + 1 / (360 x^3)
        f(r) = r log(r) - r + 1 = d^2 / 2 - d^3 / 6 + d^4 / 12 - ...,  d = r - 1

    (Loader, *Fast and accurate computation of binomial probabilities*, 2000).

    Cumulative probabilities are those of the incomplete gamma function in float64, and above a rate
    of 10,000 Peizer and Pratt's, within 1e-8,

        P(X <= x) = Phi((x + 2/3 - rate + 0.02 / (x + 1)) sqrt(2 f(s) / rate) / |s - 1|)
        s = (x + 1/2) / rate

    (*A normal approximation for binomial, F, beta, and other common, related tail probabilities*,
    Journal of the American Statistical Association, 1968).
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

    def _cdf(self, x):
        x, rate = (tf.cast(value, tf.float64) for value in (x, self._rate_parameter_no_checks()))
        x = tf.floor(x)
        count = tf.maximum(x, 0.0)
        is_large = rate > _LARGE_RATE
        exact = tf.math.igammac(count + 1, tf.where(is_large, tf.ones_like(rate), rate))
        difference = (count + 0.5 - rate) / rate
        # f(s) / (s - 1)^2
        near = tf.abs(difference) < 1e-3
        apart = tf.where(near, tf.ones_like(difference), difference)
        far = ((1 + apart) * tf.math.log1p(apart) - apart) / apart**2
        close = 1 / 2 - difference / 6 + difference**2 / 12 - difference**3 / 20
        ratio = tf.where(near, close, far)
        distance = count + 2 / 3 - rate + 0.02 / (count + 1)
        normal = tf.math.erfc(-distance * tf.sqrt(ratio / rate)) / 2
        found = tf.where(is_large, normal, exact)
        return tf.cast(tf.where(x < 0, tf.zeros_like(found), found), self.dtype)
