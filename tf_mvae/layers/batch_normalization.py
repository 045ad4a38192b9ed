"""Batch normalisation over the examples that are there."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from tf_mvae.layers.masked_moments import normalised
from tf_mvae.ops import replicas

__all__ = ["MaskedBatchNormalization"]

# Types of inputs of TensorFlow's fused operation; scale, offset and statistics are float32.
_FUSED = ("float32", "bfloat16", "float16")


@keras.saving.register_keras_serializable("tf_mvae")
class MaskedBatchNormalization(keras.layers.BatchNormalization):
    """Keras' batch normalisation with a mask over examples.

    Rows of missing modalities are excluded from the batch statistics and from the moving
    statistics. A batch without any observed row does not change the moving statistics (Keras' own
    layer would move them towards zero). Under a strategy of `tf.distribute` the statistics are
    those of the whole batch, over all replicas.

    Example:

    ```python
    layer = MaskedBatchNormalization()
    layer(tf.random.normal([4, 8]), training=True, example_mask=tf.constant([1.0, 1.0, 0.0, 1.0]))
    ```
    """

    def call(
        self,
        inputs: tf.Tensor,
        training: bool | None = None,
        example_mask: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Normalises `inputs`.

        Args:
            inputs: `[batch, ..., features]`.
            training: Whether to use the batch's statistics.
            example_mask: `[batch]`, 1 where an example counts; all if omitted.
        """
        if example_mask is None:
            return super().call(inputs, training=training)
        counts = tf.cast(example_mask, tf.bool)
        if not (training and self.trainable):
            return super().call(inputs, training=training)
        moving = (self.moving_mean, self.moving_variance)
        before = [tf.identity(variable.value) for variable in moving]
        if self._can_fuse(inputs):
            outputs, *after = self._fused(inputs, counts)
        else:
            outputs, *after = self._part(inputs, counts, moving)
        anything = replicas.sum_over_replicas(tf.reduce_sum(tf.cast(counts, tf.float32))) > 0
        for variable, new, old in zip(moving, after, before, strict=True):
            variable.assign(tf.where(anything, new, old))
        return outputs

    def _part(
        self, inputs: tf.Tensor, counts: tf.Tensor, moving: Sequence[keras.Variable]
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Normalises a batch of which some counts; also returns the moving statistics."""
        inner = [1] * (inputs.shape.rank - 2)
        full = tf.broadcast_to(
            tf.reshape(counts, [-1, *inner]), tf.shape(inputs)[: inputs.shape.rank - 1]
        )
        outputs = super().call(inputs, training=True, mask=full)
        return outputs, *(tf.identity(variable.value) for variable in moving)

    def _can_fuse(self, inputs: tf.Tensor) -> bool:
        """Returns whether TensorFlow's fused operation equals Keras' layer here."""
        last = self.axis in (-1, inputs.shape.rank - 1)
        known = inputs.dtype.name == self.compute_dtype and self.compute_dtype in _FUSED
        return last and known and not (self.renorm or replicas.are_several())

    def _fused(
        self, inputs: tf.Tensor, counts: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Normalises a batch, fast if all of it counts; also returns the moving statistics."""
        pixels, shape = inputs, tf.shape(inputs)
        if inputs.shape.rank != 4:
            entries = tf.reduce_prod(shape[1:-1])
            pixels = tf.reshape(inputs, tf.stack([shape[0], entries, 1, shape[-1]]))
        size, near = inputs.shape[-1], 0.0
        if inputs.dtype == tf.float32:
            # XLA takes the mean of squares less the square of the mean, which is nothing but
            # rounding where the mean is large. The first example's own mean is as near to all as
            # the data are. Types of fewer digits have squares that float32 holds.
            near = tf.stop_gradient(tf.reduce_mean(pixels[:1], [0, 1, 2]))
            pixels -= near
        outputs, mean, variance = normalised(
            pixels,
            counts,
            self.gamma.value if self.scale else tf.ones([size]),
            self.beta.value if self.center else tf.zeros([size]),
            self.epsilon,
        )
        outputs = outputs if inputs.shape.rank == 4 else tf.reshape(outputs, shape)
        return outputs, *(
            old.value * self.momentum + new * (1.0 - self.momentum)
            for old, new in ((self.moving_mean, mean + near), (self.moving_variance, variance))
        )

    def _moments(self, inputs, mask):
        if not replicas.are_several():
            return super()._moments(inputs, mask)
        # As Keras computes them, with sums over all replicas.
        counts = tf.ones(tf.shape(inputs)[:-1], tf.bool) if mask is None else mask
        there = tf.cast(counts, inputs.dtype)[..., tf.newaxis]
        axes = self._reduction_axes
        number = replicas.sum_over_replicas(tf.reduce_sum(there)) + keras.backend.epsilon()
        mean = (
            replicas.sum_over_replicas(tf.reduce_sum(tf.where(there > 0, inputs, 0.0), axes))
            / number
        )
        squares = tf.where(there > 0, tf.square(inputs - mean), 0.0)
        return mean, replicas.sum_over_replicas(tf.reduce_sum(squares, axes)) / number
