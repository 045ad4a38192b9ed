"""A metric for every member of a group, kept as one."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

__all__ = ["MemberMeans"]


class MemberMeans(keras.metrics.Metric):
    """The mean log-likelihood of each member over the examples that have it.

    A thousand of `keras.metrics.Mean` would take longer than the step that they measure.
    """

    def __init__(self, members: Sequence[str], name: str):
        """Creates the metric.

        Args:
            members: The members' names.
            name: The group's.
        """
        super().__init__(name=name)
        self.members = tuple(members)
        shape = (len(self.members),)
        self.total = self.add_variable(shape=shape, initializer="zeros", name="total")
        self.count = self.add_variable(shape=shape, initializer="zeros", name="count")

    def update_state(self, values: tf.Tensor, sample_weight: tf.Tensor) -> None:
        """Adds values where the weight is not 0, both `[batch, member]`."""
        self.total.assign(self.total + tf.reduce_sum(values * sample_weight, axis=0))
        self.count.assign(self.count + tf.reduce_sum(sample_weight, axis=0))

    def result(self) -> dict[str, Any]:
        """Returns `MEMBER_log_likelihood` of every member."""
        means = tf.unstack(tf.math.divide_no_nan(self.total.value, self.count.value))
        names = (f"{member}_log_likelihood" for member in self.members)
        return dict(zip(names, means, strict=True))
