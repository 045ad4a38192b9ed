"""The likelihood of a class of an order: a grade, a stage, an answer on a scale."""

from collections.abc import Sequence

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tf_mvae.distributions.categorical import Categorical
from tf_mvae.distributions.parameters import positive
from tf_mvae.errors import UserError

__all__ = ["Ordinal"]


@keras.saving.register_keras_serializable("tf_mvae")
class Ordinal(Categorical):
    """Likelihood of ordered classes by cumulative logits; a decoder outputs one less than classes.

        P(x <= k) = sigmoid(c_k - a),   c_0 < c_1 < ... < c_{K-2}

    (McCullagh, Journal of the Royal Statistical Society B 1980, the proportional-odds form). For a
    decoder's `[a, b_1, ..., b_{K-2}]` the thresholds are the running sum of `softplus(b) + 1e-3`,
    less its mean. `expected_value` gives the classes' probabilities, as `Categorical` does.

    Example:

    ```python
    Ordinal(4, ["none", "mild", "moderate", "severe"]).expected_value(tf.zeros([8, 3]))   # [8, 4]
    ```
    """

    def __init__(self, num_classes: int, class_names: Sequence[str] | None = None):
        """Creates the likelihood; see `Categorical`.

        Raises:
            UserError: There are fewer than two classes.
        """
        super().__init__(num_classes, class_names)
        if self.num_classes < 2:
            raise UserError(f"num_classes must be 2 or more; it is {num_classes!r}")
        self.parameter_shape = (self.num_classes - 1,)

    def distribution(self, parameters: tf.Tensor) -> tfd.Distribution:
        """See `Likelihood.distribution`."""
        return tfd.Categorical(logits=self._log_probabilities(parameters), dtype=self.dtype)

    def log_prob(
        self, parameters: tf.Tensor, value: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """See `Likelihood.log_prob`."""
        log_probabilities = self._log_probabilities(parameters)
        one_hot = tf.one_hot(value, self.num_classes, dtype=log_probabilities.dtype)
        return tf.reduce_sum(one_hot * log_probabilities, axis=-1)

    def expected_value(self, parameters: tf.Tensor) -> tf.Tensor:
        """Returns the classes' probabilities, `[..., num_classes]`."""
        return tf.exp(self._log_probabilities(parameters))

    def _log_probabilities(self, parameters: tf.Tensor) -> tf.Tensor:
        """Returns log-probabilities of the classes, `[..., num_classes]`.

        sigmoid(d) - sigmoid(c) = sigmoid(d) sigmoid(-c) (1 - exp(c - d)) for c < d, which
        neither overflows nor cancels.
        """
        # The steps between thresholds are positive, so thresholds increase: K - 1 of K classes.
        location, steps = parameters[..., :1], positive(parameters[..., 1:])
        thresholds = tf.concat([tf.zeros_like(location), tf.cumsum(steps, axis=-1)], -1)
        logits = thresholds - tf.reduce_mean(thresholds, -1, keepdims=True) - location
        # log P(x <= k) and log P(x > k), [..., K - 1].
        below, above = tf.math.log_sigmoid(logits), tf.math.log_sigmoid(-logits)
        between = below[..., 1:] + above[..., :-1] + tf.math.log(-tf.math.expm1(-steps))
        return tf.concat([below[..., :1], between, above[..., -1:]], -1)
