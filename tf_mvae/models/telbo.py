"""The triple ELBO of Vedantam, Fischer, Huang and Murphy."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mvae.data import contract
from tf_mvae.models.elbo import Elbo, elbo_of_posteriors
from tf_mvae.models.joint import JointPosteriorVAE
from tf_mvae.models.subsets import SubsetTerms

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

    def elbo(
        self,
        batch: Any,
        kl_weight: tf.Tensor | float = 1.0,
        num_samples: int | None = None,
        seed: int | Sequence[int] | tf.Tensor | None = None,
        training: bool = False,
    ) -> Elbo:
        """See `MultimodalVAE.elbo`; the joint term is the first, one a modality follow."""
        x, mask = contract.unpack(batch, self.modalities)
        present = contract.present_mask(mask, self.modalities)
        complete = tf.reduce_prod(present, axis=1)
        together = present * complete[:, tf.newaxis]
        alone = tf.eye(len(self.modalities))[:, tf.newaxis, :] * present
        terms = SubsetTerms(
            tf.concat([together[tf.newaxis], alone], 0),
            tf.concat([complete[tf.newaxis], tf.transpose(present)], 0),
        )
        joint = self._encode_jointly(x, mask, training)
        there = present[:, :, tf.newaxis]
        own = (tf.transpose(p * there, [1, 0, 2]) for p in self._encode(x, mask, training))
        posteriors = tuple(
            tf.concat([whole[tf.newaxis], part], 0) for whole, part in zip(joint, own, strict=True)
        )
        return elbo_of_posteriors(
            self.modalities,
            x,
            present,
            terms,
            posteriors,
            {name: [0, 1 + index] for index, name in enumerate(self._names)},
            dict.fromkeys(self._names, 0.0),
            self.num_samples if num_samples is None else num_samples,
            kl_weight,
            self._noise_seed(self._seed(seed)),
            training,
        )
