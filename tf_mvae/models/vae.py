"""The variational autoencoder of one modality."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from tf_mvae.batch import present_mask
from tf_mvae.modality import Modality
from tf_mvae.models.arguments import check_modalities
from tf_mvae.models.base import MultimodalVAE
from tf_mvae.models.elbo import PosteriorTerms

__all__ = ["VAE"]


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

    learns_from_incomplete = False

    def __init__(self, modalities: Sequence[Modality], latent_dim: int = 64, **kwargs):
        """Creates the model and all its weights.

        Args:
            modalities: The one modality, in a list.
            latent_dim: Size of the latent.
            **kwargs: Those of `MultimodalVAE`: `kl_weight`, `num_samples`, `seed`, `name`.

        Raises:
            ValueError: There is not exactly one modality.
        """
        check_modalities(modalities)
        if len(modalities) != 1:
            names = [modality.name for modality in modalities]
            raise ValueError(f"a VAE has one modality; these are {len(names)}: {names}")
        super().__init__(modalities, latent_dim, **kwargs)

    def _terms(self, x, mask, present, seed, training):
        loc, log_variance = self._infer(x, mask, training)
        return PosteriorTerms(
            present[tf.newaxis],
            tf.transpose(present),
            loc[tf.newaxis],
            log_variance[tf.newaxis],
            dict.fromkeys(self._names, [0]),
            dict.fromkeys(self._names, 0.0),
        )

    def _infer(self, x, mask, training=False):
        loc, log_variance = self._encode(x, mask, training)
        present = present_mask(mask, self.modalities)
        return loc[:, 0] * present, log_variance[:, 0] * present
