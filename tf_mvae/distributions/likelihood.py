"""The base class of likelihoods `p(x_i | z)` of a modality."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging
from tensorflow_probability import distributions as tfd

from tf_mvae import checks
from tf_mvae.distributions.quantiles import quantile
from tf_mvae.errors import UserError

__all__ = ["NUM_MEAN_SAMPLES", "Likelihood"]


NUM_MEAN_SAMPLES = 256


class Likelihood:
    """What every likelihood offers; subclasses fill in `distribution`.

    Attributes:
        event_shape: Shape of one example of the modality, without the batch.
        parameter_shape: Shape that a decoder must output for one example.
        low: The least value an entry may have.
        high: The largest value an entry may have.
        whole: Whether an entry has to be a whole number: classes and events, not counts, of which
            estimates have fractions.
        dtype: The type of prepared data.
        placeholder: A number, or an array that broadcasts to `event_shape`, inside the support of
            the distribution whatever its parameters: prepared data hold it where an example
            does not have the modality. None: a modality looks for one
            (`tf_mvae.distributions.placeholder`).
        network: A Keras layer whose weights belong to the likelihood, None for most: the
            modality keeps, trains and saves it.
        has_single_elements: Whether an element has a meaning, and a log-probability, by itself.
        takes_point_mass: Whether a `PointMassMixture` can be of it: elements are counts or have
            densities.
        has_spread: Whether the parameters are, along their first axis, a location and then what
            gives the distribution its shape around it (scales, dispersions, a fraction of zeros).
    """

    low: float | np.ndarray = -float(np.finfo(np.float32).max)
    high: float | np.ndarray = float(np.finfo(np.float32).max)
    whole: bool | np.ndarray = False
    dtype: tf.DType = tf.float32
    placeholder: float | np.ndarray | None = None
    network: keras.layers.Layer | None = None
    has_single_elements = True
    takes_point_mass = True
    has_spread = False

    def __init__(self, event_shape: Sequence[int], parameter_shape: Sequence[int] | None = None):
        """Creates a likelihood for examples of `event_shape`.

        Raises:
            ValueError: A size of a shape is not an integer of 1 or more.
        """
        self.event_shape = checks.shape("event_shape", event_shape)
        self.parameter_shape = (
            self.event_shape
            if parameter_shape is None
            else checks.shape("parameter_shape", parameter_shape)
        )

    # Attributes of some likelihoods only: those with `is_categorical`, `is_sequence`, or of a kind.
    num_classes: int
    vocabulary_size: int
    member: "Likelihood"

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor arguments of this likelihood."""
        return {"event_shape": list(self.event_shape)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Likelihood":
        """Creates a likelihood from the result of `get_config`."""
        return cls(**config)

    @property
    def rows_per_example(self) -> int:
        """The rows of a network's output per decoded example, to bound the memory."""
        return 1

    def spread_parameters(self) -> np.ndarray:
        """Returns which parameters are not locations, bool `[*parameter_shape]`."""
        found = np.zeros(self.parameter_shape, bool)
        if self.has_spread:
            found[1:] = True
        return found

    def independent_parts(
        self, parameters: tf.Tensor | None = None
    ) -> list[tuple["Likelihood", tf.Tensor | None]]:
        """Returns the likelihoods of which this is the product, mostly itself alone.

        Args:
            parameters: Decoder outputs, `[..., *parameter_shape]`.

        Returns:
            Each with its own parameters, `[..., *part.parameter_shape]`, None if there are none.
            A group's members are a batch axis of one part.
        """
        return [(self, parameters)]

    def build(self, parameters: tf.Tensor) -> None:
        """Makes the weights of a likelihood that has a network; a modality calls it.

        Args:
            parameters: Decoder outputs, `[1, *parameter_shape]`.
        """

    def distribution(self, parameters: tf.Tensor) -> tfd.Distribution:
        """Returns `p(x | z)` for decoder outputs.

        Args:
            parameters: `[..., *parameter_shape]`.

        Returns:
            A distribution with batch `[...]` and events of `event_shape`.
        """
        raise NotImplementedError

    def log_prob(
        self, parameters: tf.Tensor, value: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """Returns `log p(x | z)` in nats, `[...]`.

        Args:
            parameters: Decoder outputs, `[..., *parameter_shape]`.
            value: Prepared data that broadcast against them, `[..., *event_shape]`.
            training: Whether this is a training step, for likelihoods that have a network.
        """
        return self.distribution(parameters).log_prob(value)

    def element_log_prob(self, parameters: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        """Returns the log-probability of each element separately, in nats, `[..., *event_shape]`.

        Args:
            parameters: Decoder outputs, `[..., *parameter_shape]`.
            value: Prepared data that broadcast against them, `[..., *event_shape]`.

        Raises:
            UserError: The elements are not independent given the latent.
        """
        return self._each(self.distribution(parameters)).log_prob(value)

    def _sum_of_elements(self, parameters: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        """Returns `log_prob` by `element_log_prob`, for subclasses that define the latter."""
        axes = list(range(-len(self.event_shape), 0))
        return tf.reduce_sum(self.element_log_prob(parameters, value), axes)

    def network_input(self, value: tf.Tensor, there: tf.Tensor | None = None) -> tf.Tensor:
        """Returns an encoder's input for prepared data, `[batch, ..., features]`.

        Args:
            value: Prepared data, `[batch, *event_shape]`.
            there: Where elements are observed, bool, of the same shape; None for data without
                gaps, which an encoder sees as they are.
        """
        if there is None:
            return value
        seen = tf.where(there, value, tf.zeros([], value.dtype))
        return tf.concat([seen, tf.cast(there, value.dtype)], -1)

    def quantile(self, parameters: tf.Tensor, probability: float | tf.Tensor) -> tf.Tensor:
        """Returns the least value below which each element lies with a probability.

        Args:
            parameters: Decoder outputs, `[..., *parameter_shape]`.
            probability: In (0, 1); broadcasts against `[..., *event_shape]`.

        Returns:
            `[..., *event_shape]`, float32.

        Raises:
            UserError: The elements are not independent, or their distribution has neither
                quantiles nor a cumulative distribution function.
        """
        return quantile(self._each(self.distribution(parameters)), probability)

    def _each(self, distribution: tfd.Distribution) -> tfd.Distribution:
        """Returns the distribution of each element separately."""
        number = len(self.event_shape)
        if isinstance(distribution, tfd.Independent):
            inner = distribution.distribution
            if distribution.event_shape.rank == number and inner.event_shape.rank == 0:
                return inner
        elif not number:
            return distribution
        raise UserError(
            f"the elements of a {type(self).__name__} depend on each other, or it does not say "
            "that they do not: its distribution has to be a tfd.Independent over all axes of an "
            "example"
        )

    def expected_value(self, parameters: tf.Tensor) -> tf.Tensor:
        """Returns the mean of `p(x | z)`, `[..., *event_shape]`.

        If the distribution does not implement its mean (`tfd.LogitNormal`) it is the mean of
        `NUM_MEAN_SAMPLES` samples with a fixed seed, which a log line says.
        """
        distribution = self.distribution(parameters)
        try:
            return distribution.mean()
        except NotImplementedError:
            return self._sampled_mean(distribution)

    def expected_over_samples(self, parameters: tf.Tensor) -> tf.Tensor:
        """Returns the mean of the expected values of several latents, `[..., *event_shape]`.

        Of what has no mean (a sequence) it is what the first latent gives.

        Args:
            parameters: `[sample, ..., *parameter_shape]`.
        """
        return tf.reduce_mean(self.expected_value(parameters), axis=0)

    def prepare(self, value: tf.Tensor) -> tf.Tensor:
        """Casts raw data; uint8 pixels are scaled to [0, 1]."""
        scale = 1 / 255 if self.takes_pixels and value.dtype == tf.uint8 else 1.0
        value = tf.cast(value, self.dtype)
        return value * scale if scale != 1.0 else value

    @property
    def takes_pixels(self) -> bool:
        """Whether uint8 data are pixels of 0..255: of entries in [0, 1], and of images.

        Other numbers mean themselves, whatever their type.
        """
        if not self.dtype.is_floating or np.ndim(self.low) or np.ndim(self.high):
            return False
        return bool(self.low >= 0 and self.high <= 1) or len(self.event_shape) > 1

    def fits(self, shape: tf.TensorShape) -> bool:
        """Returns whether raw data of one example may have this shape."""
        return shape.is_compatible_with(self.event_shape)

    def accepts(self, dtype: tf.DType) -> bool:
        """Returns whether raw data of a type can be prepared."""
        return dtype.is_floating or dtype.is_integer or dtype.is_bool

    def describe_range(self) -> str:
        """Describes which values are possible."""
        limits = ((self.low, Likelihood.low, "more"), (self.high, Likelihood.high, "less"))
        said = [f"{bound:g} or {way}" for bound, none, way in limits
                if not np.ndim(bound) and bound != none]  # fmt: skip
        return "finite numbers" + f" of {' and '.join(said)}" * bool(said)

    @property
    def is_binary(self) -> bool:
        """Whether entries are 0 or 1, or probabilities of 1."""
        return False

    @property
    def is_categorical(self) -> bool:
        """Whether one example is one of `num_classes` classes."""
        return False

    @property
    def is_count(self) -> bool:
        """Whether entries are counts, which networks see as `log(1 + count)`."""
        return False

    @property
    def takes_size_factor(self) -> bool:
        """Whether means can be multiplied by a size; see `scaled`."""
        return False

    def scaled(self, parameters: tf.Tensor, log_size: tf.Tensor) -> tf.Tensor:
        """Returns the parameters of the distribution whose mean is `size` times as large.

        Args:
            parameters: Decoder outputs, `[rows, *parameter_shape]`.
            log_size: `[rows]`.

        Raises:
            UserError: The likelihood is not one of counts.
        """
        raise UserError(f"a {type(self).__name__} takes no size factor; it is for counts")

    @property
    def is_sequence(self) -> bool:
        """Whether one example is a sequence of symbols of a vocabulary."""
        return False

    @property
    def is_image(self) -> bool:
        """Whether one example can be drawn: `[height, width, 1 or 3]`."""
        return len(self.event_shape) == 3 and self.event_shape[-1] in (1, 3)

    def _sampled_mean(self, distribution: tfd.Distribution) -> tf.Tensor:
        logging.log_first_n(
            logging.WARNING,
            "%s: the mean of %d samples stands for the mean, which the distribution does not offer",
            1,
            distribution.name,
            NUM_MEAN_SAMPLES,
        )
        samples = distribution.sample(NUM_MEAN_SAMPLES, seed=tf.constant([0, 0]))
        return tf.reduce_mean(tf.cast(samples, tf.float32), axis=0)

    def _independent(self, distribution: tfd.Distribution) -> tfd.Distribution:
        return tfd.Independent(distribution, reinterpreted_batch_ndims=len(self.event_shape))
