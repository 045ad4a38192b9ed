"""The triple ELBO of Vedantam, Fischer, Huang and Murphy."""

import keras
import tensorflow as tf

from tf_mvae.models.elbo import PosteriorTerms
from tf_mvae.models.joint import JointPosteriorVAE

__all__ = ["TELBO"]


@keras.saving.register_keras_serializable("tf_mvae")
class TELBO(JointPosteriorVAE):
    """The ELBO of all modalities under a joint posterior, and each modality's own ELBO.

        ELBO(X; q(z | X)) + sum_i ELBO(x_i; q(z | x_i))

    (Vedantam, Fischer, Huang and Murphy, *Generative models of visually grounded
    imagination*, ICLR 2018; three terms for two modalities.) All terms train everything,
    at once. An example that lacks something has the terms of what it has alone.
    `JointPosteriorVAE` says which posterior stands for which subset.

    Example:

    ```python
    model = TELBO([
        Modality("image", likelihoods.Bernoulli([28, 28, 1])),
        Modality("label", likelihoods.Categorical(10), likelihood_weight=50),
    ])
    ```
    """

    def _terms(self, x, mask, present, seed, training):
        complete = tf.reduce_prod(present, axis=1)
        together = present * complete[:, tf.newaxis]
        alone = tf.eye(len(self.modalities))[:, tf.newaxis, :] * present
        there = present[:, :, tf.newaxis]
        loc, log_variance = (
            tf.concat([joint[tf.newaxis], tf.transpose(own * there, [1, 0, 2])], 0)
            for joint, own in zip(
                self._encode_jointly(x, mask, training),
                self._encode(x, mask, training),
                strict=True,
            )
        )
        return PosteriorTerms(
            tf.concat([together[tf.newaxis], alone], 0),
            tf.concat([complete[tf.newaxis], tf.transpose(present)], 0),
            loc,
            log_variance,
            {name: [0, 1 + index] for index, name in enumerate(self._names)},
            dict.fromkeys(self._names, 0.0),
        )
