"""A likelihood of the columns of a table, which have different types."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tf_mvae.distributions.likelihood import Likelihood
from tf_mvae.errors import UserError

__all__ = ["Columns"]

# Attributes that each column has of its part, with their type.
_OF_COLUMNS = {"low": np.float32, "high": np.float32, "whole": bool, "placeholder": np.float32}


@keras.saving.register_keras_serializable("tf_mvae")
class Columns(Likelihood):
    """Columns of several types side by side, independent given the latent.

        log p(x | z) = sum over parts i of log p_i(x_i | z)

    (Nazabal et al., Pattern Recognition 2020, have such a likelihood of heterogeneous tables).
    Data are float32 `[batch, columns]`; classes are their numbers. An encoder sees classes
    one-hot and counts as `log(1 + x)`. `expected_value` gives of a class the most probable one;
    `part_parameters` leads to its probabilities.

    Attributes:
        parts: The likelihoods, of one column (`event_shape` `()`) or of several (`[n]`).
        names: The columns' names, or None.

    Example:

    ```python
    likelihood = Columns([Normal([2], scale=None), Categorical(3), NegativeBinomial([1])])
    likelihood.event_shape   # (4,)
    ```
    """

    takes_point_mass = False  # a part does

    def __init__(self, parts: Sequence[Likelihood], names: Sequence[str] | None = None):
        """Creates the likelihood.

        Args:
            parts: Likelihoods of one column or of several.
            names: A name for each column.

        Raises:
            UserError: There is no part, one has a network or events of another rank, or the names
                are not as many as the columns.
        """
        self.parts = list(parts)
        if not self.parts or not all(isinstance(part, Likelihood) for part in self.parts):
            raise UserError(f"parts must be a list of tf_mvae.likelihoods; it is {parts!r}")
        for part in self.parts:
            plain = part.has_single_elements and part.network is None
            if len(part.event_shape) > 1 or not plain or part.placeholder is None:
                raise UserError(
                    f"a {type(part).__name__} of shape {list(part.event_shape)} cannot be a part "
                    "of Columns: a part has one column or several, a placeholder and no network"
                )
        self._widths = [math.prod(part.event_shape) for part in self.parts]
        self._sizes = [math.prod(part.parameter_shape) for part in self.parts]
        super().__init__([sum(self._widths)], [sum(self._sizes)])
        self.names = None if names is None else tuple(names)
        if self.names is not None and len(self.names) != self.event_shape[0]:
            raise UserError(f"there are {self.event_shape[0]} columns and {len(self.names)} names")
        self.low, self.high, self.whole, self.placeholder = (
            np.concatenate(
                [
                    np.broadcast_to(np.asarray(getattr(part, what), kind), [width])
                    for part, width in zip(self.parts, self._widths, strict=True)
                ]
            )
            for what, kind in _OF_COLUMNS.items()
        )

    def get_config(self) -> dict[str, Any]:
        """See `Likelihood.get_config`."""
        parts = [keras.saving.serialize_keras_object(part) for part in self.parts]
        return {"parts": parts, "names": self.names and list(self.names)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Columns":
        """See `Likelihood.from_config`."""
        parts = [keras.saving.deserialize_keras_object(part) for part in config["parts"]]
        return cls(parts, config["names"])

    def part_parameters(self, parameters: tf.Tensor) -> list[tf.Tensor]:
        """Returns each part's parameters, `[..., *part.parameter_shape]`.

        Args:
            parameters: Decoder outputs, `[..., *parameter_shape]`.
        """
        found = []
        for part, own in zip(self.parts, tf.split(parameters, self._sizes, -1), strict=True):
            shape = tf.concat([tf.shape(own)[:-1], np.array(part.parameter_shape, np.int32)], 0)
            found.append(tf.reshape(own, shape))
        return found

    def spread_parameters(self) -> np.ndarray:
        """See `Likelihood.spread_parameters`: those of the parts."""
        return np.concatenate([part.spread_parameters().reshape(-1) for part in self.parts])

    def independent_parts(
        self, parameters: tf.Tensor | None = None
    ) -> list[tuple[Likelihood, tf.Tensor | None]]:
        """See `Likelihood.independent_parts`: those of the columns."""
        own = [None] * len(self.parts) if parameters is None else self.part_parameters(parameters)
        return list(zip(self.parts, own, strict=True))

    @property
    def takes_size_factor(self) -> bool:
        """Whether a part does."""
        return any(part.takes_size_factor for part in self.parts)

    def scaled(self, parameters: tf.Tensor, log_size: tf.Tensor) -> tf.Tensor:
        """See `Likelihood.scaled`; parts that are not counts stay as they are."""
        found = []
        for part, own in zip(self.parts, self.part_parameters(parameters), strict=True):
            own = part.scaled(own, log_size) if part.takes_size_factor else own
            found.append(tf.reshape(own, [tf.shape(own)[0], math.prod(part.parameter_shape)]))
        return tf.concat(found, -1)

    def part_values(self, value: tf.Tensor) -> list[tf.Tensor]:
        """Returns the data of each part, in the part's type, `[..., *part.event_shape]`.

        Args:
            value: `[..., columns]`.
        """
        found = []
        for part, own in zip(self.parts, tf.split(value, self._widths, -1), strict=True):
            found.append(tf.cast(own if part.event_shape else own[..., 0], part.dtype))
        return found

    def distribution(self, parameters: tf.Tensor) -> tfd.Distribution:
        """See `Likelihood.distribution`."""
        own = self.part_parameters(parameters)
        parts = [part.distribution(p) for part, p in zip(self.parts, own, strict=True)]
        return tfd.Blockwise(parts, dtype_override=self.dtype)

    def element_log_prob(self, parameters: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        """See `Likelihood.element_log_prob`."""
        own = zip(self.part_parameters(parameters), self.part_values(value), strict=True)
        each = [part.element_log_prob(*pair) for part, pair in zip(self.parts, own, strict=True)]
        return self._joined(each)

    def log_prob(
        self, parameters: tf.Tensor, value: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """See `Likelihood.log_prob`."""
        return tf.reduce_sum(self.element_log_prob(parameters, value), -1)

    def expected_value(self, parameters: tf.Tensor) -> tf.Tensor:
        """Returns means, and of classes the most probable, `[..., columns]`."""
        return self._joined_means([part.expected_value for part in self.parts], parameters)

    def expected_over_samples(self, parameters: tf.Tensor) -> tf.Tensor:
        """See `Likelihood.expected_over_samples`; of classes the most probable one on average."""
        return self._joined_means([part.expected_over_samples for part in self.parts], parameters)

    def _joined_means(
        self, means: Sequence[Callable[[tf.Tensor], tf.Tensor]], parameters: tf.Tensor
    ) -> tf.Tensor:
        found = []
        own = zip(self.parts, means, self.part_parameters(parameters), strict=True)
        for part, mean, values in own:
            value = mean(values)
            found.append(tf.argmax(value, -1) if part.is_categorical else value)
        return self._joined(found)

    def quantile(self, parameters: tf.Tensor, probability: float | tf.Tensor) -> tf.Tensor:
        """See `Likelihood.quantile`; of a probability that is one number."""
        own = zip(self.parts, self.part_parameters(parameters), strict=True)
        return self._joined([part.quantile(values, probability) for part, values in own])

    def network_input(self, value: tf.Tensor, there: tf.Tensor | None = None) -> tf.Tensor:
        """See `Likelihood.network_input`; classes are one-hot, 0 everywhere in a gap."""
        masks = [None] * len(self.parts)
        if there is not None:
            # LiteRT splits numbers only.
            parts = tf.split(tf.cast(there, self.dtype), self._widths, -1)
            masks = [part > 0 for part in parts]
        found = []
        for part, own, mask in zip(self.parts, self.part_values(value), masks, strict=True):
            if part.is_categorical:
                seen = tf.one_hot(own, part.num_classes)
            else:
                own = own if part.event_shape else own[..., tf.newaxis]
                if part.is_count:  # a point mass next to counts may lie below 0
                    seen = tf.math.log1p(tf.maximum(own, 0))
                else:
                    seen = part.network_input(own)
            if mask is not None:
                width = mask.shape[-1]
                if 1 < width < seen.shape[-1]:  # a point mass has flags, too
                    mask = tf.concat([mask] * (seen.shape[-1] // width), -1)
                seen = tf.where(mask, seen, tf.zeros([], seen.dtype))
            found.append(seen)
        if there is not None:
            found.append(tf.cast(there, self.dtype))
        return tf.concat(found, -1)

    def describe_range(self) -> str:
        """See `Likelihood.describe_range`."""
        said, start = [], 0
        for part, width in zip(self.parts, self._widths, strict=True):
            columns = f"{start}" if width == 1 else f"{start} to {start + width - 1}"
            said.append(f"{part.describe_range()} in column {columns}")
            start += width
        return "; ".join(said)

    def _joined(self, values: Sequence[tf.Tensor]) -> tf.Tensor:
        """Concatenates values of the parts along the columns, `[..., columns]`."""
        # expand_dims: LiteRT has no slice that adds an axis to several of unknown size.
        found = [
            tf.cast(value if part.event_shape else tf.expand_dims(value, -1), self.dtype)
            for part, value in zip(self.parts, values, strict=True)
        ]
        return tf.concat(found, -1)
