"""A negative binomial distribution whose samples end, whatever its parameters are."""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

__all__ = ["BoundedNegativeBinomial"]

_LEAST_COUNT = 1e-30
_LOGITS = (-80.0, 60.0)


class BoundedNegativeBinomial(tfp.distributions.NegativeBinomial):
    """TFP's distribution; only samples of extreme parameters differ.

    A sample is a Poisson one of a gamma-distributed rate. TensorFlow's Poisson kernel never
    returns for a rate that is NaN or infinite, as it is for parameters at the ends of float32's
    range. Here such parameters are moved inside for sampling, and a sample is NaN if a parameter
    is. Densities are as they were.
    """

    def _sample_n(self, n, seed=None):
        count, logits = self.total_count, self._logits_parameter_no_checks()
        known = tf.math.is_finite(count) & ~tf.math.is_nan(logits)
        bounded = tfp.distributions.NegativeBinomial(
            tf.where(known, tf.maximum(count, _LEAST_COUNT), 1.0),
            logits=tf.where(known, tf.clip_by_value(logits, *_LOGITS), 0.0),
        )
        return tf.where(known, bounded._sample_n(n, seed), np.nan)
