"""Models: one objective a file, over one base."""

from tf_mvae.models.adam import FusedAdam
from tf_mvae.models.annealing import LinearAnnealing
from tf_mvae.models.base import MultimodalVAE
from tf_mvae.models.bivcca import BiVCCA
from tf_mvae.models.cvae import CVAE
from tf_mvae.models.elbo import Elbo
from tf_mvae.models.jmvae import JMVAE
from tf_mvae.models.mvae import MVAE, default_term_weight
from tf_mvae.models.mvae_q import MVAEQ
from tf_mvae.models.telbo import TELBO
from tf_mvae.models.vae import VAE

__all__ = [
    "BiVCCA",
    "CVAE",
    "Elbo",
    "FusedAdam",
    "JMVAE",
    "LinearAnnealing",
    "MVAE",
    "MVAEQ",
    "MultimodalVAE",
    "TELBO",
    "VAE",
    "default_term_weight",
]
