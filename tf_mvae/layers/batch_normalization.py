"""Batch normalisation over the examples that are there."""

import keras
import tensorflow as tf

__all__ = ["MaskedBatchNormalization"]


@keras.saving.register_keras_serializable("tf_mvae")
class MaskedBatchNormalization(keras.layers.BatchNormalization):
    """Keras' batch normalisation with a mask over examples.

    Placeholder rows of absent modalities enter neither the batch's statistics nor
    the moving ones, and a batch in which nothing is there leaves the moving ones as
    they were (Keras' own layer pulls them towards zero then). Under a strategy of
    `tf.distribute` the statistics are those of the whole batch, over all replicas.

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
            example_mask: `[batch]`, 1 where an example counts; all where left out.
        """
        if example_mask is None:
            return super().call(inputs, training=training)
        counts = tf.cast(example_mask, tf.bool)
        inner = [1] * (inputs.shape.rank - 2)
        full = tf.broadcast_to(
            tf.reshape(counts, [-1, *inner]), tf.shape(inputs)[: inputs.shape.rank - 1]
        )
        moving = (self.moving_mean, self.moving_variance)
        before = [tf.identity(variable.value) for variable in moving]
        outputs = super().call(inputs, training=training, mask=full)
        if training and self.trainable:
            anything = _over_replicas(tf.reduce_sum(tf.cast(counts, tf.float32))) > 0
            for variable, old in zip(moving, before, strict=True):
                variable.assign(tf.where(anything, variable.value, old))
        return outputs

    def _moments(self, inputs, mask):
        if not _replicas():
            return super()._moments(inputs, mask)
        # As Keras computes them, with sums over all replicas.
        counts = tf.ones(tf.shape(inputs)[:-1], tf.bool) if mask is None else mask
        there = tf.cast(counts, inputs.dtype)[..., tf.newaxis]
        axes = self._reduction_axes
        number = _over_replicas(tf.reduce_sum(there)) + keras.backend.epsilon()
        mean = _over_replicas(tf.reduce_sum(tf.where(there > 0, inputs, 0.0), axes)) / number
        squares = tf.where(there > 0, tf.square(inputs - mean), 0.0)
        return mean, _over_replicas(tf.reduce_sum(squares, axes)) / number


def _replicas() -> bool:
    context = tf.distribute.get_replica_context()
    return context is not None and context.num_replicas_in_sync > 1


def _over_replicas(value: tf.Tensor) -> tf.Tensor:
    """Adds up over replicas, if there are several."""
    if not _replicas():
        return value
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, value)
