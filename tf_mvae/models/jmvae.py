"""The joint multimodal variational autoencoder of Suzuki, Nakayama and Matsuo."""

from typing import Any

import keras

from tf_mvae import checks
from tf_mvae.models.joint_posterior import JointPosteriorVAE
from tf_mvae.models.registry import preset
from tf_mvae.objectives import JointElbo
from tf_mvae.settings import Setting

__all__ = ["JMVAE"]


@preset(
    "jmvae",
    Setting(
        "alpha",
        0.1,
        "Weight of the divergences from unimodal posteriors.",
        checks.non_negative,
    ),
)
@keras.saving.register_keras_serializable("tf_mvae")
class JMVAE(JointPosteriorVAE):
    """A joint posterior, and posteriors of single modalities that follow it.

        ELBO(X) - alpha * sum_i KL( q(z | X) || q(z | x_i) )

    (JMVAE-kl of Suzuki, Nakayama and Matsuo, *Joint multimodal learning with deep
    generative models*, ICLR workshop 2017, equation 7; alpha is 0.1 if omitted.) It learns from
    complete examples only; others do not contribute to the loss. `tf_mvae.posteriors.JointNetwork`
    documents the posterior of each subset.

    Example:

    ```python
    model = JMVAE([
        Modality("image", likelihoods.Bernoulli([28, 28, 1])),
        Modality("label", likelihoods.Categorical(10)),
    ], alpha=0.1)
    ```
    """

    learns_from_incomplete = False
    _make_objective = staticmethod(lambda alpha=0.1: JointElbo(checks.non_negative("alpha", alpha)))

    @property
    def alpha(self) -> float:
        """Weight of the divergences from the single modalities' posteriors."""
        return self.objective.alignment_weight

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor arguments of this model."""
        return {**super().get_config(), "alpha": self.alpha}
