"""A negative binomial distribution whose sampling terminates for all parameters."""

import functools

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

__all__ = ["BoundedNegativeBinomial"]

_LEAST_COUNT = 1e-30
_LOGITS = (-80.0, 60.0)


class BoundedNegativeBinomial(tfd.NegativeBinomial):
    """TFP's distribution, except for samples with extreme parameters.

    A sample is a Poisson sample with a gamma-distributed rate. TensorFlow's Poisson kernel does not
    return for a rate that is NaN or infinite, which happens for parameters at the ends of float32's
    range. So parameters are clipped for sampling, and samples are NaN if a parameter is NaN or
    `total_count` infinite. Densities are unchanged. Cumulative probabilities are computed in
    float64: in float32 those of counts above 1e4 are wrong.
    """

    def _sample_n(self, n, seed=None):
        count, logits = self.total_count, self._logits_parameter_no_checks()
        known = tf.math.is_finite(count) & ~tf.math.is_nan(logits)
        bounded = tfd.NegativeBinomial(
            tf.where(known, tf.maximum(count, _LEAST_COUNT), 1.0),
            logits=tf.where(known, tf.clip_by_value(logits, *_LOGITS), 0.0),
        )
        return tf.where(known, bounded._sample_n(n, seed), np.nan)

    def _cdf(self, positive_counts):
        """Returns `I_{1 - p}(r, x + 1)`, the regularised incomplete beta function."""
        x, count, logits = (
            tf.cast(value, tf.float64)
            for value in (positive_counts, self.total_count, self._logits_parameter_no_checks())
        )
        shape = functools.reduce(tf.broadcast_dynamic_shape, map(tf.shape, (x, count, logits)))
        arguments = (count, tf.floor(tf.maximum(x, 0.0)) + 1, tf.sigmoid(-logits))
        found = tf.math.betainc(*(tf.broadcast_to(value, shape) for value in arguments))
        return tf.cast(tf.where(x < 0, tf.zeros_like(found), found), self.dtype)
