"""The likelihood of a group's array: the member's likelihood for each member separately."""

from typing import Any

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tf_mvae.distributions.likelihoods import Likelihood

__all__ = ["MemberLikelihood"]


@keras.saving.register_keras_serializable("tf_mvae")
class MemberLikelihood(Likelihood):
    """One likelihood for each member of a group, independent given the latent.

    Data and parameters are those of one member, side by side: `[..., member, *event_shape]`.
    The members are a batch dimension of the distribution, so that `log_prob` keeps them
    apart: `[..., member]`.

    Attributes:
        member: The likelihood of one member.

    Example:

    ```python
    MemberLikelihood(Bernoulli([]), 18).log_prob(tf.zeros([4, 18]), tf.ones([4, 18]))  # [4, 18]
    ```
    """

    def __init__(self, member: Likelihood, number: int):
        """Creates the likelihood of `number` members.

        Args:
            member: The likelihood of one.
            number: The number of members.
        """
        super().__init__((number, *member.event_shape), (number, *member.parameter_shape))
        self.member = member
        self.low, self.high, self.whole = member.low, member.high, member.whole
        self.dtype = member.dtype

    def independent_parts(
        self, parameters: tf.Tensor | None = None
    ) -> list[tuple[Likelihood, tf.Tensor | None]]:
        """See `Likelihood.independent_parts`."""
        return self.member.independent_parts(parameters)

    @property
    def placeholder(self) -> Any:
        """See `Likelihood`: that of every member."""
        return self.member.placeholder

    @placeholder.setter
    def placeholder(self, value: Any) -> None:
        self.member.placeholder = value

    def get_config(self) -> dict[str, Any]:
        """See `Likelihood.get_config`."""
        member = keras.saving.serialize_keras_object(self.member)
        return {"member": member, "number": self.event_shape[0]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "MemberLikelihood":
        """See `Likelihood.from_config`."""
        return cls(keras.saving.deserialize_keras_object(config["member"]), config["number"])

    def distribution(self, parameters: tf.Tensor) -> tfd.Distribution:
        """Returns a distribution with batch `[..., member]` and events of one member."""
        return self.member.distribution(parameters)

    def log_prob(
        self, parameters: tf.Tensor, value: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """Returns each member's `log p(x | z)` in nats, `[..., member]`."""
        return self.member.log_prob(parameters, value, training)

    def element_log_prob(self, parameters: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        """See `Likelihood.element_log_prob`."""
        return self.member.element_log_prob(parameters, value)

    def expected_value(self, parameters: tf.Tensor) -> tf.Tensor:
        """See `Likelihood.expected_value`."""
        return self.member.expected_value(parameters)

    def expected_over_samples(self, parameters: tf.Tensor) -> tf.Tensor:
        """See `Likelihood.expected_over_samples`."""
        return self.member.expected_over_samples(parameters)

    def quantile(self, parameters: tf.Tensor, probability: float | tf.Tensor) -> tf.Tensor:
        """See `Likelihood.quantile`."""
        return self.member.quantile(parameters, probability)

    @property
    def takes_pixels(self) -> bool:
        """See `Likelihood.takes_pixels`."""
        return self.member.takes_pixels

    def prepare(self, value: tf.Tensor) -> tf.Tensor:
        """See `Likelihood.prepare`."""
        return self.member.prepare(value)

    def accepts(self, dtype: tf.DType) -> bool:
        """See `Likelihood.accepts`."""
        return self.member.accepts(dtype)

    def describe_range(self) -> str:
        """See `Likelihood.describe_range`."""
        return self.member.describe_range()

    @property
    def is_image(self) -> bool:
        """No: one example of a group is many things."""
        return False
