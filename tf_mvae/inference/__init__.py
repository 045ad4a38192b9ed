"""What a model with weights answers: posteriors, draws, generation and imputation.

The classes build on one another, and `tf_mvae.models.BaseVAE` adds how a model is trained:
`NetworkModel` (networks and posterior kind), `LatentModel` (posteriors and draws of the latent),
`GenerativeModel` (decoding, generation, imputation).
"""

from tf_mvae.inference.generative import GenerativeModel
from tf_mvae.inference.imputation import Imputation
from tf_mvae.inference.imputed_table import ImputedTable
from tf_mvae.inference.latents import LatentModel
from tf_mvae.inference.networks import NetworkModel

__all__ = ["GenerativeModel", "Imputation", "ImputedTable", "LatentModel", "NetworkModel"]
