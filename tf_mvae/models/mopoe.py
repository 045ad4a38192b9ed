"""The mixture of products of experts of Sutter, Daunhawer and Vogt."""

from collections.abc import Sequence
from typing import Any

import keras

from tf_mvae.modality import Modality
from tf_mvae.models.multimodal import MultimodalVAE
from tf_mvae.models.registry import preset
from tf_mvae.objectives import MixtureElbo
from tf_mvae.posteriors import MixtureOfProducts

__all__ = ["MoPoE"]


@preset("mopoe")
@keras.saving.register_keras_serializable("tf_mvae")
class MoPoE(MultimodalVAE):
    """A mixture, over the subsets of what an example has, of products of experts.

        E_q(z|X)[ sum_i w_i log p(x_i | z) ] - kl_weight 1/K sum_k KL(q(z | S_k) || p(z)),
        q(z | X) = 1/K sum_k prod_{i in S_k} q(z | x_i)

    (Sutter, Daunhawer and Vogt, *Generalized multimodal ELBO*, ICLR 2021, equations 8 to 10.)
    Any pattern of missing modalities has its own mixture, over the subsets of what is there.
    `tf_mvae.posteriors.MixtureOfProducts` says what K is.

    Example:

    ```python
    model = MoPoE([
        Modality("image", likelihoods.Bernoulli([28, 28, 1])),
        Modality("label", likelihoods.Categorical(10)),
    ])
    ```
    """

    def __init__(
        self,
        modalities: Sequence[Modality],
        latent_dim: int = 64,
        num_subsets: int = 16,
        subset_seed: int = 0,
        **kwargs,
    ):
        """Creates the model and all its weights.

        Args:
            modalities: What an example may consist of.
            latent_dim: Size of the latent.
            num_subsets: See `MixtureOfProducts`.
            subset_seed: See `MixtureOfProducts`.
            **kwargs: Those of `BaseVAE`: `kl_weight`, `num_samples`, `seed`, `name`.
        """
        kind = MixtureOfProducts(num_subsets, subset_seed)
        super().__init__(modalities, latent_dim, kind, MixtureElbo(), **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make this model again."""
        return {**super().get_config(), **self.posterior_kind.get_config()}
