"""The variational autoencoder of one modality."""

import keras

from tf_mvae.models.preset_model import PresetVAE
from tf_mvae.models.registry import preset
from tf_mvae.objectives import JointElbo
from tf_mvae.posteriors import FirstExpert
from tf_mvae.settings import Setting

__all__ = ["VAE"]

MODALITY = Setting(
    "modality",
    None,
    "The modality that a vae models and a cvae generates; the experiment's first one if omitted.",
    kind=str,
    argument="",
)


@preset("vae", MODALITY)
@keras.saving.register_keras_serializable("tf_mvae")
class VAE(PresetVAE):
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
    _make_kind = FirstExpert
    _make_objective = staticmethod(lambda: JointElbo())
