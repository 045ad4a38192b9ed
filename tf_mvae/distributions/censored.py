"""Likelihoods of times of which some are known only to lie beyond a time."""

import abc
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability import distributions as tfd

from tf_mvae import checks
from tf_mvae.distributions.likelihood import Likelihood
from tf_mvae.distributions.parameters import MAX_LOG_RATE, capped, positive, unstacked
from tf_mvae.errors import UserError

__all__ = ["CensoredNormal", "CensoredWeibull", "WithEvents"]

_MOST_NORMAL, _LEAST_TIME, _MOST_TIME = 1e7, 1e-12, 1e12
_FAR = 1e3  # standard deviations; the next term of the tail is 1e-6
_LEAST_SHAPE = 0.05  # of a Weibull distribution: its mean is finite in float32


class WithEvents(tfd.Distribution):
    """The distribution of pairs of a time and whether it is the one of the event.

    `log_prob` of `(t, 1)` is the log-density at t, and of `(t, 0)` the logarithm of the
    probability of a later event. Samples, and the mean, are times of events, `(t, 1)`.
    """

    def __init__(
        self,
        times: tfd.Distribution,
        log_density: Callable[[tf.Tensor], tf.Tensor],
        log_survival: Callable[[tf.Tensor], tf.Tensor],
        name: str = "WithEvents",
    ):
        """Creates the distribution.

        Args:
            times: Of single times; its batch has any shape.
            log_density: From times to the logarithm of their density.
            log_survival: From times to the logarithm of the probability of a later one.
            name: Name of the operations.
        """
        parameters = dict(locals())
        self._times, self._log_density, self._log_survival = times, log_density, log_survival
        super().__init__(
            dtype=times.dtype,
            reparameterization_type=times.reparameterization_type,
            validate_args=False,
            allow_nan_stats=True,
            parameters=parameters,
            name=name,
        )

    @classmethod
    def _parameter_properties(cls, dtype: tf.DType, num_classes: int | None = None) -> dict:
        return {"times": tfp.util.BatchedComponentProperties()}

    def _batch_shape(self):
        return self._times.batch_shape

    def _batch_shape_tensor(self, times=None):
        return self._times.batch_shape_tensor()

    def _event_shape(self):
        return tf.TensorShape([2])

    def _event_shape_tensor(self):
        return tf.constant([2])

    def _log_prob(self, value):
        time, event = value[..., 0], value[..., 1]
        return tf.where(event > 0.5, self._log_density(time), self._log_survival(time))

    def _sample_n(self, n, seed=None):
        return _with_event(self._times.sample(n, seed=seed))

    def _mean(self):
        return _with_event(self._times.mean())


class _Censored(Likelihood, abc.ABC):
    """The base of likelihoods of censored times."""

    _low: float
    _high: float
    has_single_elements = False
    takes_point_mass = False
    has_spread = True

    def __init__(self, event_shape: Sequence[int] = ()):
        """Creates the likelihood.

        Args:
            event_shape: Shape of one example's times, without the pairs; `()`: one time.

        Raises:
            UserError: A size is not an integer of 1 or more.
        """
        self.times_shape = checks.shape("event_shape", event_shape)
        super().__init__((*self.times_shape, 2), (2, *self.times_shape))
        self.low = np.array([self._low, 0.0], np.float32)
        self.high = np.array([self._high, 1.0], np.float32)
        self.whole = np.array([False, True])
        self.placeholder = np.array([1.0, 1.0], np.float32)

    def get_config(self) -> dict[str, Any]:
        """See `Likelihood.get_config`."""
        return {"event_shape": list(self.times_shape)}

    @abc.abstractmethod
    def _pairs(self, parameters: tf.Tensor) -> WithEvents:
        """Returns the distribution of each pair."""

    def distribution(self, parameters: tf.Tensor) -> tfd.Distribution:
        """See `Likelihood.distribution`; samples are times of events, `(t, 1)`."""
        return tfd.Independent(self._pairs(parameters), len(self.times_shape))

    def expected_value(self, parameters: tf.Tensor) -> tf.Tensor:
        """Returns expected times of events with a 1, `[..., *event_shape]`."""
        return self._pairs(parameters).mean()

    def quantile(self, parameters: tf.Tensor, probability: float | tf.Tensor) -> tf.Tensor:
        """Returns quantiles of the events' times with a 1, `[..., *event_shape]`.

        Args:
            parameters: Decoder outputs, `[..., *parameter_shape]`.
            probability: In (0, 1), one number.
        """
        return _with_event(self._pairs(parameters)._times.quantile(probability))

    def element_log_prob(self, parameters: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        """Refuses: a time without its event says nothing."""
        raise UserError(f"a {type(self).__name__} is observed or missing as pairs")

    def describe_range(self) -> str:
        """See `Likelihood.describe_range`."""
        bounds = f"from {self._low:g} to {self._high:g}"
        return f"pairs of a time {bounds} and 1 (the event) or 0 (censored)"

    def _parts(self, parameters: tf.Tensor) -> list[tf.Tensor]:
        return unstacked(parameters, 2, len(self.times_shape))


@keras.saving.register_keras_serializable("tf_mvae")
class CensoredNormal(_Censored):
    """Normal likelihood of numbers of which some are only known to be exceeded.

        log p(t, 1) = log N(t; a, s),   log p(t, 0) = log P(T > t),   s = softplus(b) + 1e-3

    (Tobit's model: Tobin, Econometrica 1958) for a decoder's `[a, b]`, `[2, *event_shape]`. An
    example is `[*event_shape, 2]`: each number with a 1 if it was measured, and a 0 if the true
    one is larger (a measurement above the limit of detection; the logarithm of a survival time).
    Numbers that are only known to be below a limit have their signs changed.

    Example:

    ```python
    likelihood = CensoredNormal([3])
    likelihood.log_prob(tf.zeros([4, 2, 3]), tf.ones([4, 3, 2]))   # [4]
    ```
    """

    _low, _high = -_MOST_NORMAL, _MOST_NORMAL

    def _pairs(self, parameters: tf.Tensor) -> WithEvents:
        loc, scale = self._parts(parameters)
        normal = tfd.Normal(loc, positive(scale))

        def log_survival(time):
            distance = (time - normal.loc) / normal.scale
            # TFP's series has no finite gradient where powers of its terms overflow.
            is_far = distance > _FAR
            far = tf.where(is_far, distance, _FAR)
            tail = -0.5 * far**2 - tf.math.log(far) - 0.5 * math.log(2 * math.pi)
            near = tf.where(is_far, 0.0, distance)
            return tf.where(is_far, tail, tfd.Normal(0.0, 1.0).log_survival_function(near))

        return WithEvents(normal, normal.log_prob, log_survival)


@keras.saving.register_keras_serializable("tf_mvae")
class CensoredWeibull(_Censored):
    """Weibull likelihood of survival times, right-censored ones among them.

        log p(t, 1) = log k - log t + u - exp(u),   log p(t, 0) = -exp(u),
        u = k (log t - a),   k = softplus(b) + 0.05

    (Kalbfleisch and Prentice, The Statistical Analysis of Failure Time Data, 2002, chapter 2)
    for a decoder's `[a, b]`, `[2, *event_shape]`: exp(a) is the scale and k the shape. An example
    is `[*event_shape, 2]`: a time above 0, and 1 if the event occurred at this time, or 0 if the
    observation ended before it. Values of |a| and u above 30 are replaced by 30. Encoders see
    logarithms of times. Divide times by their mean.

    Example:

    ```python
    survival = Modality("survival", CensoredWeibull())
    x = {"survival": np.stack([months, died], axis=1)}   # [patients, 2]
    ```
    """

    _low, _high = _LEAST_TIME, _MOST_TIME

    def network_input(self, value: tf.Tensor, there: tf.Tensor | None = None) -> tf.Tensor:
        """See `Likelihood.network_input`; an encoder sees logarithms of times, and events."""
        log_time = tf.math.log(tf.maximum(value[..., 0], self._low))
        return super().network_input(tf.stack([log_time, value[..., 1]], -1), there)

    def _pairs(self, parameters: tf.Tensor) -> WithEvents:
        log_scale, shape = self._parts(parameters)
        log_scale = capped(-capped(-log_scale, MAX_LOG_RATE), MAX_LOG_RATE)
        shape = tf.math.softplus(shape) + _LEAST_SHAPE

        def cumulated(time):
            log_time = tf.math.log(tf.maximum(time, self._low))
            exponent = capped(shape * (log_time - log_scale), MAX_LOG_RATE)
            return log_time, exponent, tf.exp(exponent)

        def log_density(time):
            log_time, exponent, hazard = cumulated(time)
            return tf.math.log(shape) - log_time + exponent - hazard

        times = tfd.Weibull(shape, tf.exp(log_scale))
        return WithEvents(times, log_density, lambda time: -cumulated(time)[2])


def _with_event(time: tf.Tensor) -> tf.Tensor:
    """Returns times with a 1 behind each."""
    time = tf.convert_to_tensor(time)
    return tf.stack([time, tf.ones_like(time)], -1)
