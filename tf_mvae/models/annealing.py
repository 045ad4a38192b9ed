"""Schedules of the weight of the KL divergence."""

from typing import Any

import keras
import tensorflow as tf

from tf_mvae import checks

__all__ = ["LinearAnnealing"]


@keras.saving.register_keras_serializable("tf_mvae")
class LinearAnnealing(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly from 0 to 1, a little with every training step, and stays there.

    A KL weight is any Keras schedule of the optimizer's step, so that a resumed run
    goes on where it stood. Wu and Goodman (NeurIPS 2018, section 5) anneal so.

    Example:

    ```python
    weight = LinearAnnealing(1000)
    weight(250)   # 0.25
    ```
    """

    def __init__(self, num_steps: int):
        """Creates a schedule that reaches 1 at step `num_steps`; 0 is 1 from the start.

        Raises:
            ValueError: `num_steps` is negative.
        """
        self.num_steps = checks.non_negative_integer("num_steps", num_steps)

    def __call__(self, step: tf.Tensor | int) -> tf.Tensor:
        """Returns the weight at a step, a float32 scalar."""
        step = tf.cast(step, tf.float32)
        return tf.minimum(1.0, step / self.num_steps) if self.num_steps else tf.ones_like(step)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make this schedule again."""
        return {"num_steps": self.num_steps}
