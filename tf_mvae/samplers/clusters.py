"""Clusters of latents, found while a sampler is fitted."""

import keras
import tensorflow as tf

from tf_mvae.ops import random
from tf_mvae.ops.replicas import sum_over_replicas

__all__ = ["Clusters"]


class Clusters(keras.layers.Layer):
    """Centres that follow the latents nearest to them, with the number of these.

        n_c <- n_c + m_c,   centre_c <- centre_c + (sum of the m_c latents - m_c centre_c) / n_c

    for the `m_c` latents of a batch whose nearest centre is c (mini-batch k-means, Sculley, WWW
    2010). At first the centres are noise with the mean and half the deviation of a batch.
    """

    def __init__(self, number: int, size: int, **kwargs):
        """Creates the centres.

        Args:
            number: The number of clusters.
            size: Size of a latent.
            **kwargs: Keras' own arguments for a layer.
        """
        super().__init__(**{"dtype": "float32", **kwargs})
        self.number = number
        self.centres = self.add_weight(
            shape=(number, size), initializer="zeros", trainable=False, name="centres"
        )
        self.counts = self.add_weight(
            shape=(number,), initializer="zeros", trainable=False, name="counts"
        )
        self.built = True

    def of(self, z: tf.Tensor) -> tf.Tensor:
        """Returns the nearest centre's index of latents `[batch, size]`, int32 `[batch]`."""
        centres = tf.convert_to_tensor(self.centres)
        # |z - c|^2 less |z|^2, which is the same for all c.
        distance = tf.reduce_sum(tf.square(centres), axis=-1) - 2 * tf.matmul(
            z, centres, transpose_b=True
        )
        return tf.argmin(distance, axis=-1, output_type=tf.int32)

    def draw(self, shape: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draws clusters as often as latents were in them, int32 `[sample, batch]`."""
        counts = tf.convert_to_tensor(self.counts)
        counts = tf.where(tf.reduce_sum(counts) > 0, counts, tf.ones_like(counts))
        below = tf.cumsum(counts) / tf.reduce_sum(counts)
        points = random.batch_uniform(tf.concat([shape, [1]], axis=0), seed)[..., 0]
        index = tf.searchsorted(below, tf.reshape(points, [-1]), side="right")
        return tf.reshape(tf.minimum(index, self.number - 1), tf.shape(points))

    def observe(self, z: tf.Tensor, weight: tf.Tensor, first: tf.Tensor, seed: tf.Tensor) -> None:
        """Moves the centres to a batch of latents.

        Args:
            z: `[batch, size]`.
            weight: Only latents with a positive weight count, `[batch]`.
            first: Whether to begin with this batch, and forget earlier ones.
            seed: Two integers.
        """
        counted = tf.cast(weight > 0, tf.float32)
        self.centres.assign(tf.where(first, self._spread(z, counted, seed), self.centres))
        self.counts.assign(tf.where(first, tf.zeros_like(self.counts), self.counts))
        members = counted[:, tf.newaxis] * tf.one_hot(self.of(z), self.number)
        number = sum_over_replicas(tf.reduce_sum(members, axis=0))
        total = sum_over_replicas(tf.matmul(members, z, transpose_a=True))
        counts = self.counts + number
        change = (total - number[:, tf.newaxis] * self.centres) / tf.maximum(counts, 1)[:, None]
        self.centres.assign_add(change)
        self.counts.assign(counts)

    def _spread(self, z: tf.Tensor, counted: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Returns centres that differ, however few latents a batch has."""
        rows = sum_over_replicas(tf.reduce_sum(counted))
        total = sum_over_replicas(tf.matmul(counted[tf.newaxis], z))
        squares = sum_over_replicas(tf.matmul(counted[tf.newaxis], tf.square(z)))
        mean = total / tf.maximum(rows, 1)
        deviation = tf.sqrt(tf.maximum(squares / tf.maximum(rows, 1) - tf.square(mean), 0))
        return mean + 0.5 * deviation * random.stateless_normal(tf.shape(self.centres), seed)
