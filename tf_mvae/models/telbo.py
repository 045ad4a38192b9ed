"""The triple ELBO of Vedantam, Fischer, Huang and Murphy."""

import keras

from tf_mvae.models.joint_posterior import JointPosteriorVAE
from tf_mvae.models.registry import preset
from tf_mvae.objectives import JointAndUnimodalElbos

__all__ = ["TELBO"]


@preset("telbo")
@keras.saving.register_keras_serializable("tf_mvae")
class TELBO(JointPosteriorVAE):
    """The ELBO of all modalities under a joint posterior, and each modality's own ELBO.

        ELBO(X; q(z | X)) + sum_i ELBO(x_i; q(z | x_i))

    (Vedantam, Fischer, Huang and Murphy, *Generative models of visually grounded
    imagination*, ICLR 2018; three terms for two modalities.) All terms train everything,
    at once. An incomplete example has the terms of what it has alone.
    `tf_mvae.posteriors.JointNetwork` says which posterior stands for which subset.

    Example:

    ```python
    model = TELBO([
        Modality("image", likelihoods.Bernoulli([28, 28, 1])),
        Modality("label", likelihoods.Categorical(10), likelihood_weight=50),
    ])
    ```
    """

    _make_objective = JointAndUnimodalElbos
