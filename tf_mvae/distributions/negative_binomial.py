"""Likelihoods of counts that vary more than a Poisson distribution allows."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tf_mvae import checks
from tf_mvae.distributions.bounded_counts import BoundedNegativeBinomial
from tf_mvae.distributions.likelihood import Likelihood
from tf_mvae.distributions.parameters import MAX_LOG_RATE, capped, unstacked
from tf_mvae.errors import UserError

__all__ = ["NegativeBinomial", "ZeroInflatedNegativeBinomial"]

_NEVER = -80.0
_MAX_LOG_COUNT = 10.0  # a variance of mean + mean^2 / 22026: Poisson's, nearly


@keras.saving.register_keras_serializable("tf_mvae")
class NegativeBinomial(Likelihood):
    """Negative binomial likelihood of counts; a decoder outputs two numbers per entry.

        p(x) = C(x + r - 1, x) (r / (r + m))^r (m / (r + m))^x,
        m = scale exp(a),  r = exp(b)

    for a decoder's `[a, b]`, `[2, *event_shape]`: the mean is m and the variance `m + m^2 / r`
    (Hilbe, Negative Binomial Regression, 2011; the NB2 form). `a + log(scale)` above 30 and b
    above 10 are replaced by 30 and 10.

    Attributes:
        scale: The unit of the means.

    Example:

    ```python
    likelihood = NegativeBinomial([3], scale=[10.0, 200.0, 1.0])   # of columns with these means
    likelihood.expected_value(tf.zeros([4, 2, 3]))                  # [10, 200, 1] four times
    ```
    """

    low, high = 0.0, math.exp(MAX_LOG_RATE)
    takes_pixels = False
    has_spread = True
    placeholder = 0.0
    _numbers = 2

    def __init__(self, event_shape: Sequence[int], scale: float | Sequence[float] = 1.0):
        """Creates the likelihood.

        Args:
            event_shape: Shape of one example.
            scale: Factor of the means, a number or one per entry: with the means of the
                training data a decoder begins at the right size.

        Raises:
            UserError: A scale is not a finite number above 0, or they do not fit the shape.
        """
        event_shape = checks.shape("event_shape", event_shape)
        super().__init__(event_shape, (self._numbers, *event_shape))
        try:
            self.scale = np.asarray(scale, np.float32)
            fits = np.broadcast_shapes(self.scale.shape, event_shape) == event_shape
        except (TypeError, ValueError):
            fits = False
        if not (fits and np.all(np.isfinite(self.scale) & (self.scale > 0))):
            raise UserError(
                f"scale must be a finite number above 0, or such numbers of shape "
                f"{list(event_shape)}; it is {scale!r}"
            )

    def get_config(self) -> dict[str, Any]:
        """See `Likelihood.get_config`."""
        return {**super().get_config(), "scale": self.scale.tolist()}

    @property
    def is_count(self) -> bool:
        """Yes."""
        return True

    @property
    def takes_size_factor(self) -> bool:
        """Yes."""
        return True

    def scaled(self, parameters: tf.Tensor, log_size: tf.Tensor) -> tf.Tensor:
        """See `Likelihood.scaled`: the logarithm of the mean, a, is `log_size` larger."""
        inner = [1] * len(self.event_shape)
        of_mean = tf.reshape(tf.one_hot(0, self._numbers), [1, self._numbers, *inner])
        return parameters + of_mean * tf.reshape(log_size, [-1, 1, *inner])

    def distribution(self, parameters: tf.Tensor) -> tfd.Distribution:
        """See `Likelihood.distribution`."""
        return self._independent(self._counts(*self._parts(parameters)))

    def expected_value(self, parameters: tf.Tensor) -> tf.Tensor:
        """See `Likelihood.expected_value`."""
        return tf.exp(self._parts(parameters)[0])

    def describe_range(self) -> str:
        """See `Likelihood.describe_range`."""
        return "counts, 0 or more (up to 1e13)"

    def _parts(self, parameters: tf.Tensor) -> list[tf.Tensor]:
        """Returns the logarithms of m and r, and the other outputs of the decoder."""
        mean, count, *rest = unstacked(parameters, self._numbers, len(self.event_shape))
        mean = capped(mean + tf.math.log(tf.constant(self.scale, mean.dtype)), MAX_LOG_RATE)
        return [mean, capped(count, _MAX_LOG_COUNT), *rest]

    def _counts(self, log_mean: tf.Tensor, log_count: tf.Tensor) -> tfd.Distribution:
        return BoundedNegativeBinomial(tf.exp(log_count), logits=log_mean - log_count)


@keras.saving.register_keras_serializable("tf_mvae")
class ZeroInflatedNegativeBinomial(NegativeBinomial):
    """Negative binomial likelihood with more zeros; a decoder outputs three numbers per entry.

        p(x) = s [x = 0] + (1 - s) NB(x; m, r),   s = sigmoid(c)

    for a decoder's `[a, b, c]`, with m and r as in `NegativeBinomial` (Lambert, Technometrics
    1992; of single-cell counts Lopez et al., Nature Methods 2018).
    """

    _numbers = 3

    def distribution(self, parameters: tf.Tensor) -> tfd.Distribution:
        """See `Likelihood.distribution`."""
        log_mean, log_count, zero = self._parts(parameters)
        counts = tf.exp(log_count)
        # Zeros are samples of a negative binomial too, with a mean near 0.
        never = tf.fill(tf.shape(log_mean), tf.constant(_NEVER, log_mean.dtype))
        parts = BoundedNegativeBinomial(
            tf.stack([counts, counts], -1), logits=tf.stack([never, log_mean - log_count], -1)
        )
        shares = tfd.Categorical(logits=tf.stack([zero, tf.zeros_like(zero)], -1))
        return self._independent(tfd.MixtureSameFamily(shares, parts))

    def log_prob(
        self, parameters: tf.Tensor, value: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """See `Likelihood.log_prob`."""
        return self._sum_of_elements(parameters, value)

    def element_log_prob(self, parameters: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        """See `Likelihood.element_log_prob`."""
        # The mixture of `distribution` gives 1 a probability of e^-80 where it has none, which
        # is more than a large mean gives it: the mean would not learn from such a count.
        log_mean, log_count, zero = self._parts(parameters)
        value = tf.convert_to_tensor(value, log_mean.dtype)
        counts = tf.math.log_sigmoid(-zero) + self._counts(log_mean, log_count).log_prob(value)
        zeros = tf.broadcast_to(tf.math.log_sigmoid(zero), tf.shape(counts))
        return tf.where(value == 0, tf.reduce_logsumexp(tf.stack([zeros, counts]), 0), counts)

    def expected_value(self, parameters: tf.Tensor) -> tf.Tensor:
        """See `Likelihood.expected_value`."""
        log_mean, _, zero = self._parts(parameters)
        return tf.exp(log_mean) * tf.sigmoid(-zero)
