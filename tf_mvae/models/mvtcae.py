"""The multi-view total correlation autoencoder of Hwang et al."""

from collections.abc import Sequence
from typing import Any

import keras

from tf_mvae import checks
from tf_mvae.modality import Modality
from tf_mvae.models.multimodal import MultimodalVAE
from tf_mvae.models.registry import preset
from tf_mvae.objectives import TotalCorrelation
from tf_mvae.posteriors import Product
from tf_mvae.settings import Setting

__all__ = ["MVTCAE"]


@preset(
    "mvtcae",
    Setting(
        "correlation_alpha",
        0.9,
        "Weight of the divergences from unimodal posteriors, 0 to 1.",
        checks.fraction,
        argument="alpha",
    ),
)
@keras.saving.register_keras_serializable("tf_mvae")
class MVTCAE(MultimodalVAE):
    """A product of experts whose factors follow it, by a bound on total correlation.

        (N - alpha)/N sum_i E_q(z|X)[ log p(x_i | z) ]
            - beta [ (1 - alpha) KL(q(z | X) || p(z)) + alpha/N sum_i KL(q(z | X) || q(z | x_i)) ]

    (Hwang, Kim, Hong and Kim, *Multi-view representation learning via total correlation
    objective*, NeurIPS 2021, equation 11), with N modalities, sums over those that an example
    has, and beta the model's `kl_weight`. The product has no prior expert.

    Example:

    ```python
    model = MVTCAE([
        Modality("image", likelihoods.Bernoulli([28, 28, 1])),
        Modality("label", likelihoods.Categorical(10)),
    ], alpha=0.9, kl_weight=2.5)
    ```
    """

    def __init__(
        self, modalities: Sequence[Modality], latent_dim: int = 64, alpha: float = 0.9, **kwargs
    ):
        """Creates the model and all its weights.

        Args:
            modalities: What an example may consist of.
            latent_dim: Size of the latent.
            alpha: See the formula, in [0, 1].
            **kwargs: Those of `BaseVAE`: `kl_weight`, `num_samples`, `seed`, `name`.
        """
        kind = Product(prior_expert=False)
        super().__init__(modalities, latent_dim, kind, TotalCorrelation(alpha), **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make this model again."""
        return {**super().get_config(), **self.objective.get_config()}
