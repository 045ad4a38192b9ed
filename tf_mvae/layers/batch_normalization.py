"""Batch normalisation over the examples that are there."""

import keras
import tensorflow as tf

__all__ = ["MaskedBatchNormalization"]


@keras.saving.register_keras_serializable("tf_mvae")
class MaskedBatchNormalization(keras.layers.BatchNormalization):
    """Keras' batch normalisation with a mask over examples.

    Placeholder rows of absent modalities enter neither the batch's statistics nor
    the moving ones, and a batch in which nothing is there leaves the moving ones as
    they were (Keras' own layer pulls them towards zero then).

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
            anything = tf.reduce_any(counts)
            for variable, old in zip(moving, before, strict=True):
                variable.assign(tf.where(anything, variable.value, old))
        return outputs
