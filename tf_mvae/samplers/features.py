"""From a subset's experts to the features that a sampler's networks see."""

import keras
import tensorflow as tf

from tf_mvae.ops.gaussian_product import log_variance_limit
from tf_mvae.posteriors import Context

__all__ = ["ContextFeatures"]


class ContextFeatures(keras.layers.Layer):
    """A network of two layers over a subset's experts, its posterior and its 0/1 mask.

    Of an expert with precision `T = 1 / variance` the features are `loc T / (1 + T)` and `log(1 +
    T) / 2`, which are zero for a missing modality and near zero for an uninformative expert. Of the
    posterior `q(z | S)` they are the mean and half the negative log-variance. Covariates are
    encoded as for the model's networks.
    """

    def __init__(
        self, latent_dim: int, num_columns: int, width: int, num_covariates: int = 0, **kwargs
    ):
        """Creates the layer and its weights.

        Args:
            latent_dim: Size of the latent.
            num_columns: The number of modalities.
            width: Size of both layers.
            num_covariates: The size of the model's encoded covariates.
            **kwargs: Keras' own arguments for a layer.
        """
        super().__init__(**{"dtype": "float32", **kwargs})
        self.latent_dim, self.num_columns, self.width = latent_dim, num_columns, width
        self.num_covariates = num_covariates
        self.first = keras.layers.Dense(width, "silu", dtype="float32", name="first")
        self.second = keras.layers.Dense(width, "silu", dtype="float32", name="second")
        inputs = num_columns * (2 * latent_dim + 1) + 2 * latent_dim + num_covariates
        self.first.build([None, inputs])
        self.second.build([None, width])
        self.built = True

    def call(self, context: Context) -> tf.Tensor:
        """Returns features, `[batch, width]`."""
        limit = log_variance_limit(tf.float32)
        there = context.subset[..., tf.newaxis]
        # The values of a missing expert, which may be NaN, must have no effect.
        loc = tf.where(there > 0, context.expert_loc, 0.0)
        log_variance = tf.clip_by_value(
            tf.where(there > 0, context.expert_log_variance, 0.0), -limit, limit
        )
        experts = [loc * tf.sigmoid(-log_variance), 0.5 * tf.nn.softplus(-log_variance)]
        size = self.num_columns * self.latent_dim
        parts = [tf.reshape(part * there, [-1, size]) for part in experts]
        parts += [context.subset, context.loc, -0.5 * context.log_variance]
        if self.num_covariates:
            parts.append(context.covariates)
        return self.second(self.first(tf.concat(parts, axis=-1)))
