"""A likelihood of proportions."""

from collections.abc import Sequence

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tf_mvae import checks
from tf_mvae.distributions.likelihood import Likelihood
from tf_mvae.distributions.parameters import capped, positive, unstacked
from tf_mvae.distributions.quantiles import bisected

__all__ = ["PROPORTION_EDGE", "Beta"]

PROPORTION_EDGE = 1e-6
_MOST = 1e4  # beyond, a density over float32 numbers is that of their rounding


@keras.saving.register_keras_serializable("tf_mvae")
class Beta(Likelihood):
    """Beta likelihood of numbers between 0 and 1; a decoder outputs two numbers per entry.

        p(x) ∝ x^(m k - 1) (1 - x)^((1 - m) k - 1),   m = sigmoid(a),  k = softplus(b) + 1e-3

    for a decoder's `[a, b]`, `[2, *event_shape]`: the mean is m, and k the precision (Ferrari and
    Cribari-Neto, Journal of Applied Statistics 2004). k above 10,000 is taken for that. 0 and 1
    themselves have no finite density and are refused.

    Example:

    ```python
    Beta([3]).expected_value(tf.zeros([4, 2, 3]))   # 0.5 everywhere
    ```
    """

    low, high = PROPORTION_EDGE, 1 - PROPORTION_EDGE
    has_spread = True
    placeholder = 0.5

    def __init__(self, event_shape: Sequence[int]):
        """Creates the likelihood for examples of `event_shape`."""
        event_shape = checks.shape("event_shape", event_shape)
        super().__init__(event_shape, (2, *event_shape))

    def distribution(self, parameters: tf.Tensor) -> tfd.Distribution:
        """See `Likelihood.distribution`."""
        mean, precision = self._parts(parameters)
        precision = capped(positive(precision), _MOST)
        # Concentrations of 0 have no density.
        one, other = (precision * tf.sigmoid(m) + 1e-4 for m in (mean, -mean))
        return self._independent(tfd.Beta(one, other))

    def element_log_prob(self, parameters: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        """See `Likelihood.element_log_prob`; samples that were rounded to 0 or 1 are moved in."""
        return super().element_log_prob(parameters, tf.clip_by_value(value, self.low, self.high))

    def log_prob(
        self, parameters: tf.Tensor, value: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """See `Likelihood.log_prob`."""
        axes = list(range(-len(self.event_shape), 0))
        return tf.reduce_sum(self.element_log_prob(parameters, value), axes)

    def expected_value(self, parameters: tf.Tensor) -> tf.Tensor:
        """See `Likelihood.expected_value`."""
        return self._each(self.distribution(parameters)).mean()

    def quantile(self, parameters: tf.Tensor, probability: float | tf.Tensor) -> tf.Tensor:
        """See `Likelihood.quantile`; TFP's own is wrong in the second digit (0.25)."""
        each = self._each(self.distribution(parameters))
        return bisected(each.cdf, tf.shape(each.mean()), probability, 0.0, 1.0)

    def describe_range(self) -> str:
        """See `Likelihood.describe_range`."""
        return "numbers between 0 and 1, from 1e-6 to 1 - 1e-6"

    def _parts(self, parameters: tf.Tensor) -> list[tf.Tensor]:
        return unstacked(parameters, 2, len(self.event_shape))
