"""Likelihoods `p(x_i | z)`: from a decoder's output to a TFP distribution over one modality.

A likelihood defines the data of a modality (shape, type, range), the shape of the decoder's output,
and the distribution with this output as parameters.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tf_mvae import checks
from tf_mvae.distributions.beta import Beta
from tf_mvae.distributions.categorical import Categorical
from tf_mvae.distributions.censored import CensoredNormal, CensoredWeibull
from tf_mvae.distributions.columns import Columns
from tf_mvae.distributions.gamma import Gamma
from tf_mvae.distributions.large_counts import LargePoisson
from tf_mvae.distributions.likelihood import Likelihood
from tf_mvae.distributions.log_normal import LogNormal
from tf_mvae.distributions.negative_binomial import (
    NegativeBinomial,
    ZeroInflatedNegativeBinomial,
)
from tf_mvae.distributions.ordinal import Ordinal
from tf_mvae.distributions.parameters import MAX_LOG_RATE, capped
from tf_mvae.distributions.point_mass import PointMassMixture
from tf_mvae.distributions.student_t import StudentT
from tf_mvae.distributions.token_sequence import TokenSequence
from tf_mvae.errors import UserError

__all__ = [
    "Bernoulli",
    "Beta",
    "CallableLikelihood",
    "Categorical",
    "CensoredNormal",
    "CensoredWeibull",
    "Columns",
    "Gamma",
    "Laplace",
    "Likelihood",
    "LogNormal",
    "NegativeBinomial",
    "Normal",
    "Ordinal",
    "PointMassMixture",
    "Poisson",
    "StudentT",
    "TokenSequence",
    "ZeroInflatedNegativeBinomial",
]

_PACKAGE = "tf_mvae"
_MAX_SCALES = 1e9  # of data, in units of a scale that is given
MAX_LEARNED = 1e7  # of data whose scale a decoder outputs, which begins near 1


@keras.saving.register_keras_serializable(_PACKAGE)
class Bernoulli(Likelihood):
    """Bernoulli likelihood; a decoder outputs logits, one per entry.

    Entries are 0 or 1, or real numbers between (pixels): then `log_prob` is the
    cross-entropy that Wu and Goodman's tables report, not the log-density of
    discrete data.

    Example:

    ```python
    likelihood = Bernoulli([28, 28, 1])
    likelihood.log_prob(tf.zeros([4, 28, 28, 1]), tf.ones([4, 28, 28, 1]))  # 784 * log 0.5 each
    ```
    """

    low, high = 0.0, 1.0
    placeholder = 0.0
    takes_point_mass = False

    @property
    def is_binary(self) -> bool:
        """Yes."""
        return True

    def distribution(self, parameters: tf.Tensor) -> tfd.Distribution:
        """See `Likelihood.distribution`; samples are float32 zeros and ones."""
        return self._independent(tfd.Bernoulli(logits=parameters, dtype=self.dtype))

    def log_prob(
        self, parameters: tf.Tensor, value: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """See `Likelihood.log_prob`.

        Written out as `x * logit - softplus(logit)`: TFP's form evaluates softplus
        twice an entry and guards products with 0, which an image does not need.
        """
        # One long axis: XLA does not vectorise along an image's single channel.
        value, parameters = self._flat(value), self._flat(parameters)
        return tf.reduce_sum(value * parameters - tf.math.softplus(parameters), axis=-1)

    def element_log_prob(self, parameters: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        """See `Likelihood.element_log_prob`."""
        return value * parameters - tf.math.softplus(parameters)

    def _flat(self, tensor: tf.Tensor) -> tf.Tensor:
        """Returns `[..., *event_shape]` as `[..., size]`."""
        tensor = tf.convert_to_tensor(tensor)
        batch = tf.shape(tensor)[: tensor.shape.rank - len(self.event_shape)]
        return tf.reshape(tensor, tf.concat([batch, [math.prod(self.event_shape)]], 0))

    def describe_range(self) -> str:
        """See `Likelihood.describe_range`."""
        return "numbers in [0, 1] (or uint8 in 0..255)"


class _LocationScale(Likelihood):
    """The base of `Normal` and `Laplace`: a location and a scale, given or learned.

    Data of more than 1e9 scales, or of more than 1e7 where the scale is learned, are out of range.
    """

    placeholder = 0.0
    _family: type[tfd.Distribution]

    def __init__(self, event_shape: Sequence[int], scale: float | None = 1.0):
        """Creates the likelihood.

        Args:
            event_shape: Shape of one example.
            scale: The scale of every entry, in the data's units; None lets the
                decoder predict it, one per entry.

        Raises:
            ValueError: `scale` is not a finite number above 0.
        """
        event_shape = checks.shape("event_shape", event_shape)
        super().__init__(event_shape, event_shape if scale is not None else (2, *event_shape))
        self.scale = None if scale is None else checks.positive("scale", scale)
        self.has_spread = self.scale is None
        # Beyond, squares of gradients overflow in float32, as Adam takes them.
        high = MAX_LEARNED if self.scale is None else _MAX_SCALES * self.scale
        self.low, self.high = -high, high

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale}

    def distribution(self, parameters: tf.Tensor) -> tfd.Distribution:
        if self.scale is not None:
            return self._independent(
                self._family(parameters, tf.cast(self.scale, parameters.dtype))
            )
        loc, raw_scale = self._unstack(parameters)
        return self._independent(self._family(loc, tf.math.softplus(raw_scale) + 1e-3))

    def expected_value(self, parameters: tf.Tensor) -> tf.Tensor:
        # TFP broadcasts the mean against the scale with an operation that ONNX does not have.
        return parameters if self.scale is not None else self._unstack(parameters)[0]

    def describe_range(self) -> str:
        """See `Likelihood.describe_range`."""
        return f"finite numbers between {self.low:g} and {self.high:g} (standardise larger ones)"

    def _unstack(self, parameters: tf.Tensor) -> list[tf.Tensor]:
        """Returns the means, and the parameters of the scales."""
        return tf.unstack(parameters, 2, axis=-1 - len(self.event_shape))


@keras.saving.register_keras_serializable(_PACKAGE)
class Normal(_LocationScale):
    """Normal likelihood with a given scale, or with one that the decoder predicts.

        p(x) = prod_i N(x_i; mean_i, scale_i^2)

    With `scale=None` the decoder's output is `[2, *event_shape]`: the means, and numbers whose
    softplus plus 1e-3 is the standard deviation.

    Example:

    ```python
    likelihood = Normal([5], scale=None)   # the decoder predicts the scale of each number
    likelihood.parameter_shape   # (2, 5)
    likelihood.expected_value(tf.zeros([4, 2, 5]))   # zeros [4, 5]
    ```
    """

    _family = tfd.Normal


@keras.saving.register_keras_serializable(_PACKAGE)
class Laplace(_LocationScale):
    """Laplace likelihood with a given scale, or with one that the decoder predicts (see `Normal`).

        p(x) = prod_i exp(-|x_i - median_i| / scale_i) / (2 scale_i)

    It is less sensitive to outliers than `Normal`.

    Example:

    ```python
    Laplace([2], scale=0.5).log_prob(tf.zeros([4, 2]), tf.zeros([4, 2]))   # 2 * log 1 = 0 each
    ```
    """

    _family = tfd.Laplace


@keras.saving.register_keras_serializable(_PACKAGE)
class Poisson(Likelihood):
    """Poisson likelihood of counts; the decoder predicts the logarithms of the rates.

        p(x) = prod_i rate_i^x_i exp(-rate_i) / x_i!

    Logarithms above 30 (a rate of 1e13, the largest count allowed) are replaced by 30, so that no
    rate overflows. Their gradient is the one at 30, which reduces them again.

    Example:

    ```python
    Poisson([3]).expected_value(tf.zeros([4, 3]))   # ones [4, 3]
    ```
    """

    low, high = 0.0, math.exp(MAX_LOG_RATE)
    takes_pixels = False
    placeholder = 0.0

    @property
    def is_count(self) -> bool:
        """Yes."""
        return True

    @property
    def takes_size_factor(self) -> bool:
        """Yes."""
        return True

    def scaled(self, parameters: tf.Tensor, log_size: tf.Tensor) -> tf.Tensor:
        """See `Likelihood.scaled`."""
        return parameters + tf.reshape(log_size, [-1, *[1] * len(self.event_shape)])

    def distribution(self, parameters: tf.Tensor) -> tfd.Distribution:
        """See `Likelihood.distribution`."""
        return self._independent(LargePoisson(log_rate=capped(parameters, MAX_LOG_RATE)))

    def describe_range(self) -> str:
        """See `Likelihood.describe_range`."""
        return "counts, 0 or more (up to 1e13)"


@keras.saving.register_keras_serializable(_PACKAGE)
class CallableLikelihood(Likelihood):
    """Any function from decoder outputs to a TFP distribution.

    Example:

    ```python
    @keras.saving.register_keras_serializable("my_package")
    def student_t(parameters):                      # [..., 3]
        return tfd.Independent(tfd.StudentT(4.0, parameters, 1.0), 1)

    likelihood = CallableLikelihood(student_t, event_shape=[3], parameter_shape=[3])
    ```

    A registered function is saved with the model. A lambda can be trained, but not saved:
    loading it would run code of the file.
    """

    def __init__(
        self,
        make_distribution: Callable[[tf.Tensor], tfd.Distribution],
        event_shape: Sequence[int],
        parameter_shape: Sequence[int] | None = None,
        placeholder: float | Sequence[float] | None = None,
    ):
        """Creates the likelihood.

        Args:
            make_distribution: Takes `[..., *parameter_shape]` and returns a
                distribution with batch `[...]` and events of `event_shape`.
            event_shape: Shape of one example.
            parameter_shape: Shape of a decoder's output for one example;
                `event_shape` if omitted.
            placeholder: A number, or numbers that broadcast to `event_shape`, inside the
                distribution's support: what stands where an example does not have the modality.
                If omitted, it is 0 if that is inside, and otherwise found from the
                distribution when a model is built.

        Raises:
            ValueError: `make_distribution` is not a function, a size is not an integer of 1 or
                more, or `placeholder` does not fit the shape.
        """
        super().__init__(event_shape, parameter_shape)
        if not callable(make_distribution):
            raise UserError(
                "make_distribution must be a function from a decoder's outputs to a TFP "
                f"distribution; it is {make_distribution!r}"
            )
        self.make_distribution = make_distribution
        self._given = None if placeholder is None else _finite_array(placeholder, self.event_shape)
        self.placeholder = self._given

    def get_config(self) -> dict[str, Any]:
        """See `Likelihood.get_config`.

        Raises:
            UserError: The function is a lambda.
        """
        if getattr(self.make_distribution, "__name__", "") == "<lambda>":
            raise UserError(
                "a CallableLikelihood of a lambda cannot be saved; define a function by def, with "
                '@keras.saving.register_keras_serializable("PACKAGE")'
            )
        return {
            **super().get_config(),
            "make_distribution": keras.saving.serialize_keras_object(self.make_distribution),
            "parameter_shape": list(self.parameter_shape),
            "placeholder": None if self._given is None else self._given.tolist(),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "CallableLikelihood":
        """See `Likelihood.from_config`."""
        function = keras.saving.deserialize_keras_object(config["make_distribution"])
        return cls(**{**config, "make_distribution": function})

    def build(self, parameters: tf.Tensor) -> None:
        """Checks what the function returns.

        Raises:
            UserError: It is no distribution of events of `event_shape`.
        """
        found = self.make_distribution(parameters)
        if not hasattr(found, "log_prob"):
            raise UserError(
                "CallableLikelihood: make_distribution must return a TFP distribution; it returns "
                f"a {type(found).__name__}"
            )
        if not tf.TensorShape(self.event_shape).is_compatible_with(found.event_shape):
            raise UserError(
                f"CallableLikelihood: make_distribution must return events of {self.event_shape}; "
                f"these are of {tuple(found.event_shape)}: wrap it, as in tfd.Independent("
                f"..., {len(self.event_shape)})"
            )

    def distribution(self, parameters: tf.Tensor) -> tfd.Distribution:
        """See `Likelihood.distribution`."""
        return self.make_distribution(parameters)


def _finite_array(values: Any, event_shape: tuple[int, ...]) -> np.ndarray:
    """Returns a placeholder that a user gives as an array."""
    try:
        found = np.asarray(values, np.float32)
        fits = np.broadcast_shapes(found.shape, event_shape) == event_shape
    except (TypeError, ValueError):
        fits = False
    if not (fits and np.isfinite(found).all()):
        raise UserError(
            f"placeholder must be a finite number, or numbers of shape {list(event_shape)}; "
            f"it is {values!r}"
        )
    return found


def parameter_size(likelihood: Likelihood) -> int:
    """Returns the number of a decoder's outputs for one example."""
    return math.prod(likelihood.parameter_shape)
