"""The base of likelihoods of positive numbers."""

from collections.abc import Sequence

import tensorflow as tf

from tf_mvae import checks
from tf_mvae.distributions.likelihood import Likelihood
from tf_mvae.distributions.parameters import unstacked

__all__ = ["PositiveLikelihood"]

_LEAST, _MOST = 1e-12, 1e12


class PositiveLikelihood(Likelihood):
    """A likelihood of numbers above 0, with two parameters an entry.

    Encoders get the logarithms of the data.
    """

    low, high = _LEAST, _MOST
    takes_pixels = False
    has_spread = True
    placeholder = 1.0

    def __init__(self, event_shape: Sequence[int]):
        """Creates the likelihood for examples of `event_shape`."""
        event_shape = checks.shape("event_shape", event_shape)
        super().__init__(event_shape, (2, *event_shape))

    def network_input(self, value: tf.Tensor, there: tf.Tensor | None = None) -> tf.Tensor:
        """See `Likelihood.network_input`; an encoder sees logarithms."""
        return super().network_input(tf.math.log(tf.maximum(value, self.low)), there)

    def describe_range(self) -> str:
        """See `Likelihood.describe_range`."""
        return f"numbers above 0 (from {self.low:g} to {self.high:g})"

    def _parts(self, parameters: tf.Tensor) -> list[tf.Tensor]:
        return unstacked(parameters, 2, len(self.event_shape))
