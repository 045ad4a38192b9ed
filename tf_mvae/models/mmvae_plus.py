"""The mixture-of-experts model with private latents of Palumbo et al."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from tf_mvae.inference.arguments import check_modalities
from tf_mvae.modality import Modality
from tf_mvae.models.multimodal import MultimodalVAE
from tf_mvae.models.registry import preset
from tf_mvae.objectives import PrivateStratifiedBound
from tf_mvae.objectives.mixture_bounds import BOUND
from tf_mvae.posteriors import LatentSpace, PrivateMixtureOfExperts
from tf_mvae.posteriors.latent import PRIVATE_DIM

__all__ = ["MMVAEPlus"]


@preset("mmvae_plus", PRIVATE_DIM, BOUND)
@keras.saving.register_keras_serializable("tf_mvae")
class MMVAEPlus(MultimodalVAE):
    """`MMVAE` with a latent of each modality's own next to the shared one.

        1/M sum_m B_m,   z = (u, w_1, ..., w_N),   q(u | X) = 1/M sum_m q(u | x_m)

    (Palumbo, Daunhawer and Vogt, *MMVAE+: enhancing the generative quality of multimodal VAEs
    without compromises*, ICLR 2023, equation 4; `tf_mvae.objectives.PrivateStratifiedBound`
    gives B_m.) A latent of the model holds all parts: `latent_dim` shared numbers, then each
    modality's own.

    Example:

    ```python
    model = MMVAEPlus([
        Modality("image", likelihoods.Bernoulli([28, 28, 1])),
        Modality("label", likelihoods.Categorical(10)),
    ], latent_dim=32, private_dim={"image": 32, "label": 2})
    ```
    """

    def __init__(
        self,
        modalities: Sequence[Modality],
        latent_dim: int = 32,
        private_dim: int | Mapping[str, int] = 32,
        bound: str = "dreg",
        num_samples: int = 1,
        **kwargs,
    ):
        """Creates the model and all its weights.

        Args:
            modalities: Two or more.
            latent_dim: Size of the shared latent.
            private_dim: Size of each modality's own, one for all or by name.
            bound: See `StratifiedBound`.
            num_samples: K, the samples of each modality's posterior.
            **kwargs: Those of `BaseVAE`: `kl_weight`, `seed`, `name`.

        Raises:
            ValueError: A size is below 1, or a name is not known.
        """
        check_modalities(modalities)
        names = [modality.name for modality in modalities]
        latent = LatentSpace.of(names, latent_dim, private_dim)
        kwargs |= {"num_samples": num_samples, "latent": latent}
        super().__init__(
            modalities,
            latent.size,
            PrivateMixtureOfExperts(latent),
            PrivateStratifiedBound(latent, bound),
            **kwargs,
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor arguments of this model."""
        return {
            **super().get_config(),
            "latent_dim": self.latent.shared,
            "private_dim": self.latent.private,
            "bound": self.objective.kind,
        }
