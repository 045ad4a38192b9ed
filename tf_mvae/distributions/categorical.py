"""The likelihood of a class: one of several without an order."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tf_mvae import checks
from tf_mvae.distributions.likelihood import Likelihood
from tf_mvae.errors import UserError

__all__ = ["Categorical"]


@keras.saving.register_keras_serializable("tf_mvae")
class Categorical(Likelihood):
    """Categorical likelihood of integer classes; the decoder predicts logits.

        p(x) = softmax(logits)[x]

    An example is one integer from 0 to `num_classes - 1`. `expected_value` returns the
    probabilities, `[..., num_classes]`.

    Example:

    ```python
    likelihood = Categorical(3, class_names=["cat", "dog", "bird"])
    likelihood.expected_value(tf.zeros([4, 3]))   # 1/3 everywhere, [4, 3]
    ```
    """

    low = 0.0
    whole = True
    dtype = tf.int32
    placeholder = 0.0

    def __init__(self, num_classes: int, class_names: Sequence[str] | None = None):
        """Creates the likelihood.

        Args:
            num_classes: The number of classes.
            class_names: Their names, in order; default: their numbers.

        Raises:
            ValueError: There is no class, or the number of names is not that of classes.
        """
        num_classes = checks.positive_integer("num_classes", num_classes)
        super().__init__((), (num_classes,))
        self.num_classes = num_classes
        self.class_names = tuple(class_names or map(str, range(num_classes)))
        if len(self.class_names) != num_classes:
            raise UserError(
                f"class_names has {len(self.class_names)} names for {num_classes} classes"
            )
        self.high = float(num_classes - 1)

    def get_config(self) -> dict[str, Any]:
        """See `Likelihood.get_config`."""
        return {"num_classes": self.num_classes, "class_names": list(self.class_names)}

    def distribution(self, parameters: tf.Tensor) -> tfd.Distribution:
        """See `Likelihood.distribution`."""
        return tfd.Categorical(logits=parameters, dtype=self.dtype)

    def log_prob(
        self, parameters: tf.Tensor, value: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """See `Likelihood.log_prob`.

        Written with a one-hot product: TFP gathers, which XLA compiles to a slow
        scatter in the gradient.
        """
        log_probabilities = tf.nn.log_softmax(parameters)
        one_hot = tf.one_hot(value, self.num_classes, dtype=log_probabilities.dtype)
        return tf.reduce_sum(one_hot * log_probabilities, axis=-1)

    def element_log_prob(self, parameters: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        """See `Likelihood.element_log_prob`."""
        return self.log_prob(parameters, value)

    def quantile(self, parameters: tf.Tensor, probability: float | tf.Tensor) -> tf.Tensor:
        """See `Likelihood.quantile`; classes in the order of their numbers."""
        below = tf.cumsum(self.expected_value(parameters), axis=-1)[..., :-1]
        more = below < tf.convert_to_tensor(probability, below.dtype)[..., tf.newaxis]
        return tf.reduce_sum(tf.cast(more, tf.float32), axis=-1)

    def expected_value(self, parameters: tf.Tensor) -> tf.Tensor:
        """Returns the classes' probabilities, `[..., num_classes]`."""
        return tf.nn.softmax(parameters)

    def prepare(self, value: tf.Tensor) -> tf.Tensor:
        """Casts class numbers to int32."""
        return tf.cast(value, self.dtype)

    @property
    def is_categorical(self) -> bool:
        """Yes."""
        return True

    def accepts(self, dtype: tf.DType) -> bool:
        """Accepts integers only."""
        return dtype.is_integer

    def describe_range(self) -> str:
        """See `Likelihood.describe_range`."""
        return f"integers in 0..{self.num_classes - 1}"
