"""A convolutional block that also sees a summary of the whole image."""

import math
from typing import Any

import keras
import tensorflow as tf

from tf_mvae import checks

__all__ = ["ContextBlock"]

_GRID = 4  # places of a context, in each direction


@keras.saving.register_keras_serializable("tf_mvae")
class ContextBlock(keras.layers.Layer):
    """Two convolutions and a summary of the whole image, added to the input.

        y = x + conv(silu(conv(silu(x)))) + up(dense(silu(dense(pool(x)))))

    The convolutions have a kernel of 3; `pool` takes means over a grid of 4 x 4 places, `dense`
    connects all places with each other, and `up` repeats its output. Convolutions alone see
    few positions away, and what is asked of a latent may be far off: the hidden half of a
    picture, or the colour of the sky. The last layer of each path is 0 at first, so that a new
    block returns its input (Fixup: Zhang, Dauphin and Ma, ICLR 2019, without normalisation).
    """

    def __init__(self, units: int = 128, **kwargs):
        """Creates the layer.

        Args:
            units: Width of the summary of the whole image.
            **kwargs: Keras' own arguments for a layer.

        Raises:
            UserError: `units` is not an integer of 1 or more.
        """
        super().__init__(**kwargs)
        self.units = checks.positive_integer("units", units)

    def build(self, input_shape: tuple[int, ...]) -> None:
        """Makes the weights, for inputs of `[batch, height, width, channels]`."""
        _, height, width, channels = input_shape
        self._pool = _pool_sizes(height), _pool_sizes(width)
        places = height // self._pool[0], width // self._pool[1]
        self._summary_shape = (*places, channels)
        usual = {"dtype": self.dtype_policy}
        zeros = {**usual, "kernel_initializer": "zeros"}
        self.first = keras.layers.Conv2D(channels, 3, padding="same", name="first", **usual)
        self.second = keras.layers.Conv2D(channels, 3, padding="same", name="second", **zeros)
        self.inner = keras.layers.Dense(self.units, "silu", name="inner", **usual)
        self.outer = keras.layers.Dense(math.prod(self._summary_shape), name="outer", **zeros)
        for layer in (self.first, self.second):
            layer.build(input_shape)
        self.inner.build([None, math.prod(self._summary_shape)])
        self.outer.build([None, self.units])
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns a tensor of the shape of `inputs`, `[batch, height, width, channels]`."""
        near = self.second(tf.nn.silu(self.first(tf.nn.silu(inputs))))
        height, width, channels = self._summary_shape
        down, across = self._pool
        # Means over cells of down x across positions, [batch, height, width, channels], then dense
        # layers over all cells, and each result repeated over its cell.
        cells = tf.reshape(inputs, [-1, height, down, width, across, channels])
        summary = tf.reduce_mean(cells, axis=[2, 4])
        far = self.outer(self.inner(tf.reshape(summary, [-1, math.prod(self._summary_shape)])))
        far = tf.reshape(far, [-1, height, 1, width, 1, channels])
        return inputs + near + tf.reshape(tf.tile(far, [1, 1, down, 1, across, 1]), tf.shape(near))

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple:
        """Returns the same shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make this layer again."""
        return {**super().get_config(), "units": self.units}


def _pool_sizes(side: int) -> int:
    """Returns the side of a cell, so that about four of them cover a side."""
    return max(cell for cell in range(1, max(1, side // _GRID) + 1) if side % cell == 0)
