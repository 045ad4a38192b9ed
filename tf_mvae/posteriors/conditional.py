"""The posterior of a conditional model: one network sees the target and all conditions."""

import tensorflow as tf

from tf_mvae.posteriors.gaussian import DiagonalGaussian
from tf_mvae.posteriors.kind import Encoded, PosteriorKind

__all__ = ["ConditionalNetwork"]


class ConditionalNetwork(PosteriorKind):
    """`q(z | x, y)` of a target x and conditions y; the prior where one of them is missing.

    The model's network gives both: they are `Encoded.joint`.
    """

    def of(self, encoded: Encoded, subset: tf.Tensor) -> DiagonalGaussian:
        """See `PosteriorKind.of`."""
        return encoded.joint

    def everything(self, encoded: Encoded, present: tf.Tensor) -> DiagonalGaussian:
        """See `PosteriorKind.everything`."""
        return DiagonalGaussian(*(part[tf.newaxis] for part in encoded.joint))
