"""The variational autoencoder of one modality."""

from collections.abc import Sequence

import keras

from tf_mvae.modality import Modality
from tf_mvae.models.arguments import check_modalities
from tf_mvae.models.multimodal import MultimodalVAE
from tf_mvae.models.registry import preset
from tf_mvae.objectives import JointElbo
from tf_mvae.posteriors import FirstExpert
from tf_mvae.settings import Setting

__all__ = ["VAE"]

MODALITY = Setting(
    "modality",
    None,
    "What a vae models and a cvae generates; the experiment's first modality if omitted.",
    kind=str,
    argument="",
)


@preset("vae", MODALITY)
@keras.saving.register_keras_serializable("tf_mvae")
class VAE(MultimodalVAE):
    """A variational autoencoder (Kingma and Welling, ICLR 2014) of one modality.

        ELBO = E_q(z|x)[ w log p(x | z) ] - kl_weight * KL(q(z | x) || p(z))

    The encoder gives the posterior itself; no prior expert is multiplied in.

    Example:

    ```python
    model = VAE([Modality("image", likelihoods.Bernoulli([28, 28, 1]))])
    ```
    """

    max_modalities = 1
    learns_from_incomplete = False

    def __init__(self, modalities: Sequence[Modality], latent_dim: int = 64, **kwargs):
        """Creates the model and all its weights.

        Args:
            modalities: The one modality, in a list.
            latent_dim: Size of the latent.
            **kwargs: Those of `BaseVAE`: `kl_weight`, `num_samples`, `seed`, `name`.

        Raises:
            ValueError: There is not exactly one modality.
        """
        check_modalities(modalities)
        if len(modalities) != 1:
            names = [modality.name for modality in modalities]
            raise ValueError(f"a VAE has one modality; these are {len(names)}: {names}")
        super().__init__(modalities, latent_dim, FirstExpert(), JointElbo(), **kwargs)
