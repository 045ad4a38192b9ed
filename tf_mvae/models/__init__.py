"""Models: presets, each a posterior kind and an objective, over one base."""

from tf_mvae.models.annealing import LinearAnnealing
from tf_mvae.models.base import BaseVAE
from tf_mvae.models.bivcca import BiVCCA
from tf_mvae.models.cvae import CVAE
from tf_mvae.models.jmvae import JMVAE
from tf_mvae.models.mmvae import MMVAE
from tf_mvae.models.mmvae_plus import MMVAEPlus
from tf_mvae.models.mopoe import MoPoE
from tf_mvae.models.multimodal import MultimodalVAE
from tf_mvae.models.mvae import MVAE
from tf_mvae.models.mvae_q import MVAEQ
from tf_mvae.models.mvtcae import MVTCAE
from tf_mvae.models.pretrained import from_preset, list_presets
from tf_mvae.models.registry import Preset, preset
from tf_mvae.models.sharing import from_hub
from tf_mvae.models.telbo import TELBO
from tf_mvae.models.vae import VAE
from tf_mvae.objectives import Elbo, default_term_weight
from tf_mvae.optimization import FusedAdam

__all__ = [
    "BaseVAE",
    "BiVCCA",
    "CVAE",
    "Elbo",
    "FusedAdam",
    "JMVAE",
    "LinearAnnealing",
    "MMVAE",
    "MMVAEPlus",
    "MVAE",
    "MVAEQ",
    "MVTCAE",
    "MoPoE",
    "MultimodalVAE",
    "Preset",
    "TELBO",
    "VAE",
    "default_term_weight",
    "from_hub",
    "from_preset",
    "list_presets",
    "preset",
]
