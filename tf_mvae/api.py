"""The public names of the package: `tf_mvae.NAME` is `tf_mvae.api.NAME`."""

from tf_mvae.covariate import Covariate, SizeFactor
from tf_mvae.distributions import likelihoods
from tf_mvae.errors import UserError
from tf_mvae.group import ModalityGroup
from tf_mvae.layers import ProductOfExperts
from tf_mvae.modality import Modality
from tf_mvae.models import (
    CVAE,
    JMVAE,
    MMVAE,
    MVAE,
    MVAEQ,
    MVTCAE,
    TELBO,
    VAE,
    BaseVAE,
    BiVCCA,
    Elbo,
    LinearAnnealing,
    MMVAEPlus,
    MoPoE,
    MultimodalVAE,
    from_hub,
    from_preset,
    list_presets,
)

__all__ = [
    "CVAE",
    "JMVAE",
    "MMVAE",
    "MVAE",
    "MVAEQ",
    "MVTCAE",
    "TELBO",
    "VAE",
    "BaseVAE",
    "BiVCCA",
    "Covariate",
    "Elbo",
    "LinearAnnealing",
    "MMVAEPlus",
    "MoPoE",
    "Modality",
    "ModalityGroup",
    "MultimodalVAE",
    "ProductOfExperts",
    "SizeFactor",
    "UserError",
    "from_hub",
    "from_preset",
    "likelihoods",
    "list_presets",
]
