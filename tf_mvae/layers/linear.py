"""A linear decoder, with parameters that do not depend on the latent."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.errors import UserError

__all__ = ["LinearDecoder"]


@keras.saving.register_keras_serializable("tf_mvae")
class LinearDecoder(keras.layers.Layer):
    """Maps a latent linearly to a likelihood's parameters, as in factor analysis.

        parameters_j = sum_l W_jl z_l + b_j,   or b_j if j is constant

    Constant scales of a Normal likelihood make `p(x | z)` that of factor analysis (Bishop, *Pattern
    Recognition and Machine Learning*, 2006, section 12.2.4). Scales that depend on the latent have
    as many weights again, too many for fewer rows than columns.

    Example:

    ```python
    likelihood = likelihoods.Normal([200], scale=None)
    LinearDecoder(likelihood.parameter_shape, likelihood.spread_parameters())(tf.zeros([4, 8]))
    ```
    """

    def __init__(
        self,
        parameter_shape: Sequence[int],
        constant: Sequence | np.ndarray | None = None,
        **kwargs,
    ):
        """Creates the layer.

        Args:
            parameter_shape: The shape of the likelihood's parameters.
            constant: Which of them do not depend on the latent, bool, of this shape; none if
                omitted.
            **kwargs: Keras' own arguments of a layer.

        Raises:
            UserError: A size is not an integer of 1 or more, or `constant` has another shape.
        """
        super().__init__(**kwargs)
        self.parameter_shape = checks.shape("parameter_shape", parameter_shape)
        given = np.zeros(self.parameter_shape) if constant is None else np.asarray(constant)
        if given.shape != self.parameter_shape:
            raise UserError(
                f"constant must have the shape of the parameters, {list(self.parameter_shape)}; "
                f"its shape is {list(given.shape)}"
            )
        self._constant = given.astype(bool)
        flat = self._constant.reshape(-1)
        # Free parameters are computed side by side; places are where each goes.
        order = np.concatenate([np.flatnonzero(~flat), np.flatnonzero(flat)])
        self._places, self._free = np.argsort(order), int((~flat).sum())

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates `kernel`, `[latent, free parameters]`, and `bias`, `[parameters]`."""
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self._free), initializer="glorot_uniform", name="kernel"
        )
        self.bias = self.add_weight(shape=(len(self._places),), initializer="zeros", name="bias")
        self.built = True

    def call(self, z: tf.Tensor) -> tf.Tensor:
        """Returns `[batch, *parameter_shape]` for latents `[batch, latent]`."""
        free = tf.matmul(z, self.kernel)
        constant = tf.zeros([tf.shape(z)[0], len(self._places) - self._free], free.dtype)
        every = tf.gather(tf.concat([free, constant], -1), self._places, axis=-1)
        return tf.reshape(every + self.bias, [-1, *self.parameter_shape])

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple:
        """Returns `[batch, *parameter_shape]`."""
        return (input_shape[0], *self.parameter_shape)

    def get_config(self) -> dict[str, Any]:
        """See `keras.layers.Layer.get_config`."""
        own = {"parameter_shape": self.parameter_shape, "constant": self._constant.tolist()}
        return {**super().get_config(), **own}
