"""Posteriors that see one modality each."""

import keras
import tensorflow as tf

from tf_mvae.posteriors.gaussian import DiagonalGaussian
from tf_mvae.posteriors.kind import Encoded, ExpertKind

__all__ = ["FirstExpert"]


@keras.saving.register_keras_serializable("tf_mvae")
class FirstExpert(ExpertKind):
    """`q(z | S) = q(z | x_i)` with the first modality i of S; the prior for the empty subset.

    Nothing joins the modalities: for models that have none (a VAE) or no formula for it
    (Wang, Yan, Lee and Livescu, 2016).
    """

    def of(self, encoded: Encoded, subset: tf.Tensor) -> DiagonalGaussian:
        """See `PosteriorKind.of`."""
        before = tf.cumsum(subset, axis=-1, exclusive=True)  # LiteRT has no cumulative product
        first = subset * tf.cast(before < 1, subset.dtype)
        choose = first[..., tf.newaxis]
        return DiagonalGaussian(*(tf.reduce_sum(p * choose, axis=-2) for p in encoded.experts))
