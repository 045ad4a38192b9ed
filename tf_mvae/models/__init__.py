"""Models: one objective a file, over one base."""

from tf_mvae.models.annealing import LinearAnnealing
from tf_mvae.models.base import MultimodalVAE
from tf_mvae.models.elbo import Elbo
from tf_mvae.models.mvae import MVAE

__all__ = ["Elbo", "LinearAnnealing", "MVAE", "MultimodalVAE"]
