"""Adam, each variable's update as one operation."""

import contextvars
from collections.abc import Sequence

import keras
import tensorflow as tf

__all__ = ["FusedAdam"]

# What all updates of one `apply` share, by type. As an attribute it would be in checkpoints.
_SCALARS: contextvars.ContextVar[dict[str, dict[str, tf.Tensor]]] = contextvars.ContextVar(
    "scalars"
)


@keras.saving.register_keras_serializable("tf_mvae")
class FusedAdam(keras.optimizers.Adam):
    """Keras' Adam, with TensorFlow's fused operation where that does the same.

    Keras updates a variable by a dozen operations, each a pass over memory where XLA does not
    fuse them. The one operation reads weight, gradient and both moments once and writes all but
    the gradient. Steps (except for rounding), variables and arguments are those of
    `keras.optimizers.Adam`. In a scope of `tf.distribute`, for sparse gradients, and with
    `amsgrad`, Keras' own operations run.

    Example:

    ```python
    model.compile(FusedAdam(1e-3))
    ```
    """

    def apply(
        self,
        grads: Sequence[tf.Tensor],
        trainable_variables: Sequence[keras.Variable] | None = None,
    ) -> None:
        """Updates variables; see `keras.optimizers.Optimizer.apply`.

        What depends on the step alone is computed once for all variables.
        """
        token = _SCALARS.set({})
        try:
            super().apply(grads, trainable_variables)
        finally:
            _SCALARS.reset(token)

    def update_step(
        self,
        gradient: tf.Tensor,
        variable: keras.Variable | tf.Variable,
        learning_rate: tf.Tensor | float,
    ) -> None:
        """Updates a variable; Keras calls it.

        Args:
            gradient: Of the loss, as the variable.
            variable: A trainable variable.
            learning_rate: A number.
        """
        sparse = isinstance(gradient, tf.IndexedSlices)
        if self.amsgrad or sparse or tf.distribute.has_strategy():
            super().update_step(gradient, variable, learning_rate)
            return
        index, dtype = self._get_variable_index(variable), variable.dtype
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(self._momentums[index]),
            v=_handle(self._velocities[index]),
            grad=tf.cast(gradient, dtype),
            **self._scalars_of(dtype, learning_rate),
        )

    def _scalars_of(self, dtype: str, learning_rate: tf.Tensor | float) -> dict[str, tf.Tensor]:
        """Returns the arguments of the operation that are the same for all variables of a type."""
        found = _SCALARS.get({})
        if dtype not in found:
            step = tf.cast(self.iterations + 1, dtype)
            first, second = (tf.cast(beta, dtype) for beta in (self.beta_1, self.beta_2))
            found[dtype] = {
                "beta1_power": tf.pow(first, step),
                "beta2_power": tf.pow(second, step),
                "lr": tf.cast(learning_rate, dtype),
                "beta1": first,
                "beta2": second,
                "epsilon": tf.cast(self.epsilon, dtype),
            }
        return found[dtype]


def _handle(variable: keras.Variable | tf.Variable) -> tf.Tensor:
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle
