"""Schedules of the weight of the KL divergence."""

from typing import Any

import keras
import tensorflow as tf

from tf_mvae import checks

__all__ = ["LinearAnnealing"]


@keras.saving.register_keras_serializable("tf_mvae")
class LinearAnnealing(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly from 0 to 1 (or another weight), a little with every training step.

        weight(step) = final min(1, step / num_steps)

    A KL weight is any Keras schedule of the optimizer's step, so that a resumed run
    continues where it stood. Wu and Goodman (NeurIPS 2018, section 5) anneal so.

    Example:

    ```python
    weight = LinearAnnealing(1000)
    weight(250)   # 0.25
    ```
    """

    def __init__(self, num_steps: int, final: float = 1.0):
        """Creates a schedule.

        Args:
            num_steps: The step at which it reaches the final weight; 0: from the start.
            final: The weight that stays.

        Raises:
            ValueError: A number is negative.
        """
        self.num_steps = checks.non_negative_integer("num_steps", num_steps)
        self.final = checks.non_negative("final", final)

    def __call__(self, step: tf.Tensor | int) -> tf.Tensor:
        """Returns the weight at a step, a float32 scalar."""
        step = tf.cast(step, tf.float32)
        risen = tf.minimum(1.0, step / self.num_steps) if self.num_steps else tf.ones_like(step)
        return risen if self.final == 1 else self.final * risen

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor arguments of this schedule."""
        return {
            "num_steps": self.num_steps,
            **({} if self.final == 1 else {"final": self.final}),
        }
