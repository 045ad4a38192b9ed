"""A likelihood of one value that occurs often, and of others from another likelihood."""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability import distributions as tfd

from tf_mvae import checks
from tf_mvae.distributions.likelihood import Likelihood
from tf_mvae.errors import UserError

__all__ = ["PointMassMixture", "WithMass"]

_LEAST = 1e-6  # of a probability whose quantile is asked for


class WithMass(tfd.Distribution):
    """A point mass or another distribution of single numbers; samples and densities of both."""

    def __init__(
        self,
        logits: tf.Tensor,
        at: float,
        other: tfd.Distribution,
        log_prob: Callable[[tf.Tensor], tf.Tensor],
        name: str = "WithMass",
    ):
        """Creates the distribution.

        Args:
            logits: Of the mass, of the other distribution's batch shape.
            at: Where the mass is.
            other: The other distribution.
            log_prob: From values to the logarithm of their probability or density.
            name: Name of the operations.
        """
        parameters = dict(locals())
        self._logits, self._at, self._other, self._given_log_prob = logits, at, other, log_prob
        super().__init__(
            dtype=logits.dtype,
            reparameterization_type=tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=True,
            parameters=parameters,
            name=name,
        )

    @classmethod
    def _parameter_properties(cls, dtype: tf.DType, num_classes: int | None = None) -> dict:
        return {"logits": tfp.util.ParameterProperties()}

    def _batch_shape(self):
        return self._logits.shape

    def _batch_shape_tensor(self, logits=None):
        return tf.shape(self._logits if logits is None else logits)

    def _event_shape(self):
        return tf.TensorShape([])

    def _event_shape_tensor(self):
        return tf.constant([], tf.int32)

    def _log_prob(self, value):
        return self._given_log_prob(value)

    def _sample_n(self, n, seed=None):
        seeds = tfp.random.split_seed(seed, 2)
        mass = tfd.Bernoulli(logits=self._logits, dtype=tf.bool).sample(n, seed=seeds[0])
        other = tf.cast(self._other.sample(n, seed=seeds[1]), self.dtype)
        return tf.where(mass, tf.cast(self._at, self.dtype), other)

    def _mean(self):
        share = tf.sigmoid(self._logits)
        return share * self._at + (1 - share) * self._other.mean()


@keras.saving.register_keras_serializable("tf_mvae")
class PointMassMixture(Likelihood):
    """A mixture of a point mass and any likelihood of independent numbers.

        p(x) = s [x = c] + (1 - s) p'(x),   s = sigmoid(g)

    for c = `at`, the likelihood p', and a decoder that outputs its parameters and then g, one per
    entry (delta or hurdle models: Aitchison, JASA 1955; of zero-inflated counts Lambert,
    Technometrics 1992). Of a continuous p' the density is one with respect to Lebesgue's measure
    and the mass at c, so that x = c has the probability s; of counts, c can come from p', too.
    Encoders see what is not c as p' shows it to them, and whether it is c.

    Attributes:
        likelihood: p'.
        at: c.

    Example:

    ```python
    rain = PointMassMixture(Gamma([24]))                       # millimetres an hour, often 0
    likelihood = PointMassMixture(Normal([3], scale=None), at=-1.0)
    likelihood.expected_value(tf.zeros([4, 9]))                # [4, 3], each -0.5
    ```
    """

    def __init__(self, likelihood: Likelihood, at: float = 0.0):
        """Creates the likelihood.

        Args:
            likelihood: Of the other values, with independent elements and a placeholder.
            at: The value that has a probability of its own.

        Raises:
            UserError: The likelihood is one of classes, sequences or pairs, has a network or no
                placeholder, or `at` is no finite number.
        """
        fits = isinstance(likelihood, Likelihood) and likelihood.takes_point_mass
        if not fits or not likelihood.dtype.is_floating or likelihood.network is not None:
            raise UserError(
                "a PointMassMixture is of a point mass and a likelihood of independent numbers; "
                f"it has {likelihood!r}"
            )
        if likelihood.placeholder is None:
            raise UserError(
                f"the {type(likelihood).__name__} of a PointMassMixture needs a placeholder: a "
                "value inside its support"
            )
        self.likelihood, self.at = likelihood, checks.finite("at", at)
        self._sizes = [math.prod(likelihood.parameter_shape), math.prod(likelihood.event_shape)]
        super().__init__(likelihood.event_shape, (sum(self._sizes),))
        self.low = np.minimum(likelihood.low, self.at)
        self.high = np.maximum(likelihood.high, self.at)
        self.placeholder = likelihood.placeholder

    def get_config(self) -> dict[str, Any]:
        """See `Likelihood.get_config`."""
        return {"likelihood": keras.saving.serialize_keras_object(self.likelihood), "at": self.at}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "PointMassMixture":
        """See `Likelihood.from_config`."""
        return cls(keras.saving.deserialize_keras_object(config["likelihood"]), config["at"])

    @property
    def is_count(self) -> bool:
        """Whether p' is one of counts."""
        return self.likelihood.is_count

    @property
    def takes_size_factor(self) -> bool:
        """Whether p' does."""
        return self.likelihood.takes_size_factor

    def scaled(self, parameters: tf.Tensor, log_size: tf.Tensor) -> tf.Tensor:
        """See `Likelihood.scaled`; the probability of `at` stays."""
        own, logits = self._parts(parameters)
        own = self.likelihood.scaled(own, log_size)
        rows = tf.shape(parameters)[0]
        return tf.concat([tf.reshape(part, [rows, -1]) for part in (own, logits)], -1)

    def distribution(self, parameters: tf.Tensor) -> tfd.Distribution:
        """See `Likelihood.distribution`."""
        own, logits = self._parts(parameters)
        other = self.likelihood._each(self.likelihood.distribution(own))
        mixture = WithMass(logits, self.at, other, lambda x: self.element_log_prob(parameters, x))
        return self._independent(mixture)

    def log_prob(
        self, parameters: tf.Tensor, value: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """See `Likelihood.log_prob`."""
        return self._sum_of_elements(parameters, value)

    def element_log_prob(self, parameters: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        """See `Likelihood.element_log_prob`."""
        own, logits = self._parts(parameters)
        value = tf.convert_to_tensor(value, logits.dtype)
        is_at = tf.equal(value, self.at)
        log_mass, log_rest = tf.math.log_sigmoid(logits), tf.math.log_sigmoid(-logits)
        other = log_rest + self.likelihood.element_log_prob(own, self._elsewhere(value))
        # If p' is a distribution of counts, it has mass at c too: add (1 - s) p'(c).
        if self._counts_at:
            here = self.likelihood.element_log_prob(own, tf.fill(tf.shape(value), self.at))
            log_mass = tfp.math.log_add_exp(log_mass, log_rest + here)
        return tf.where(is_at, log_mass, other)

    def expected_value(self, parameters: tf.Tensor) -> tf.Tensor:
        """See `Likelihood.expected_value`."""
        own, logits = self._parts(parameters)
        share = tf.sigmoid(logits)
        return share * self.at + (1 - share) * self.likelihood.expected_value(own)

    def quantile(self, parameters: tf.Tensor, probability: float | tf.Tensor) -> tf.Tensor:
        """See `Likelihood.quantile`."""
        own, logits = self._parts(parameters)
        share = tf.sigmoid(logits)
        probability = tf.cast(probability, share.dtype)
        shape = tf.broadcast_dynamic_shape(tf.shape(share), tf.shape(probability))
        share, probability = (tf.broadcast_to(each, shape) for each in (share, probability))
        rest = 1 - share
        below = rest * self._cdf(own, share, math.ceil(self.at) - 1 if self.is_count else self.at)
        with_mass = share + rest * self._cdf(own, share, self.at)
        first, second = (
            tf.clip_by_value(each / rest, _LEAST, 1 - _LEAST)
            for each in (probability, probability - share)
        )
        low, high = (self.likelihood.quantile(own, each) for each in (first, second))
        high = tf.where(probability <= with_mass, tf.cast(self.at, high.dtype), high)
        return tf.where(probability <= below, low, high)

    @property
    def takes_pixels(self) -> bool:
        """See `Likelihood.takes_pixels`; as p' does."""
        return self.likelihood.takes_pixels

    def prepare(self, value: tf.Tensor) -> tf.Tensor:
        """See `Likelihood.prepare`; as p' does."""
        return self.likelihood.prepare(value)

    def network_input(self, value: tf.Tensor, there: tf.Tensor | None = None) -> tf.Tensor:
        """See `Likelihood.network_input`; the last axis also has whether a value is `at`."""
        is_at = tf.equal(value, self.at)
        if there is not None:
            is_at &= there
        seen = self.likelihood.network_input(self._elsewhere(value), there)
        join = tf.stack if value.shape.rank == 1 else tf.concat
        return join([seen, tf.cast(is_at, seen.dtype)], -1)

    def describe_range(self) -> str:
        """See `Likelihood.describe_range`."""
        return f"{self.likelihood.describe_range()}, or {self.at:g}"

    @property
    def _counts_at(self) -> bool:
        """Whether p' gives `at` a probability: a count does to integers."""
        return self.is_count and self.at >= 0 and self.at == round(self.at)

    def _elsewhere(self, value: tf.Tensor) -> tf.Tensor:
        """Returns values with the placeholder of p' where they are `at`."""
        safe = tf.cast(self.likelihood.placeholder, value.dtype)
        return tf.where(tf.equal(value, self.at), safe, value)

    def _cdf(self, own: tf.Tensor, like: tf.Tensor, at: float) -> tf.Tensor:
        """Returns the probability under p' of a value of at most `at`, of the shape of `like`."""
        low, high = (np.asarray(getattr(self.likelihood, name)) for name in ("low", "high"))
        if np.all(at < low) or (np.all(at <= low) and not self.is_count):
            return tf.zeros_like(like)
        if np.all(at > high):
            return tf.ones_like(like)
        each = self.likelihood._each(self.likelihood.distribution(own))
        return each.cdf(tf.zeros_like(like) + at)

    def _parts(self, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns parameters of p', `[..., *its shape]`, and logits, `[..., *event_shape]`."""
        own, logits = tf.split(parameters, self._sizes, -1)
        lead = tf.shape(parameters)[:-1]
        shapes = (self.likelihood.parameter_shape, self.event_shape)
        own, logits = (
            tf.reshape(part, tf.concat([lead, np.array(shape, np.int32)], 0))
            for part, shape in zip((own, logits), shapes, strict=True)
        )
        return own, logits
