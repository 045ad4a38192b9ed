"""A likelihood of real numbers with outliers."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tf_mvae import checks
from tf_mvae.distributions.likelihood import Likelihood
from tf_mvae.distributions.parameters import positive, unstacked
from tf_mvae.errors import UserError

__all__ = ["StudentT"]

_MOST = 1e7  # as of a Normal whose scale a decoder outputs


@keras.saving.register_keras_serializable("tf_mvae")
class StudentT(Likelihood):
    """Student's t likelihood; a decoder outputs a location and a scale per entry.

        p(x) ∝ (1 + ((x - a) / s)^2 / v)^(-(v + 1) / 2),   s = softplus(b) + 1e-3

    for a decoder's `[a, b]`, `[2, *event_shape]`, with v degrees of freedom, or with
    v = 1.001 + softplus(c) for `[a, b, c]`. An outlier costs the logarithm of its distance, not
    the square as with `Normal` (Lange, Little and Taylor, JASA 1989).

    Example:

    ```python
    StudentT([12], degrees_of_freedom=4).expected_value(tf.zeros([8, 2, 12]))   # zeros [8, 12]
    ```
    """

    low, high = -_MOST, _MOST
    has_spread = True
    placeholder = 0.0

    def __init__(self, event_shape: Sequence[int], degrees_of_freedom: float | None = 4.0):
        """Creates the likelihood.

        Args:
            event_shape: Shape of one example.
            degrees_of_freedom: A number above 1; None lets the decoder predict it, one per entry.

        Raises:
            UserError: It is not above 1, where the mean does not exist.
        """
        event_shape = checks.shape("event_shape", event_shape)
        numbers = 3 if degrees_of_freedom is None else 2
        super().__init__(event_shape, (numbers, *event_shape))
        self.degrees_of_freedom = degrees_of_freedom
        if degrees_of_freedom is not None:
            self.degrees_of_freedom = checks.positive("degrees_of_freedom", degrees_of_freedom)
            if self.degrees_of_freedom <= 1:
                raise UserError(f"degrees_of_freedom must be above 1; it is {degrees_of_freedom!r}")

    def get_config(self) -> dict[str, Any]:
        """See `Likelihood.get_config`."""
        return {**super().get_config(), "degrees_of_freedom": self.degrees_of_freedom}

    def distribution(self, parameters: tf.Tensor) -> tfd.Distribution:
        """See `Likelihood.distribution`."""
        loc, scale, *rest = self._parts(parameters)
        freedom = 1 + positive(rest[0]) if rest else tf.cast(self.degrees_of_freedom, loc.dtype)
        return self._independent(tfd.StudentT(freedom, loc, positive(scale)))

    def expected_value(self, parameters: tf.Tensor) -> tf.Tensor:
        """See `Likelihood.expected_value`."""
        return self._parts(parameters)[0]

    def describe_range(self) -> str:
        """See `Likelihood.describe_range`."""
        return f"finite numbers between {self.low:g} and {self.high:g} (standardise larger ones)"

    def _parts(self, parameters: tf.Tensor) -> list[tf.Tensor]:
        return unstacked(parameters, self.parameter_shape[0], len(self.event_shape))
