"""Conditional densities `p(z | S)` of the latent, fitted to a trained model's posteriors."""

from tf_mvae.samplers.class_draws import draw_classes
from tf_mvae.samplers.coupling_flow import CouplingFlow
from tf_mvae.samplers.fitting import SamplerTrainer, fit, make_optimizer
from tf_mvae.samplers.flow_matching import FlowMatching
from tf_mvae.samplers.hidden_cells import hide_cells
from tf_mvae.samplers.mixture_density import MixtureDensity
from tf_mvae.samplers.mixture_flow import MixtureFlow
from tf_mvae.samplers.sampler import LatentSampler
from tf_mvae.samplers.subset_draws import draw_subsets

__all__ = [
    "CouplingFlow",
    "FlowMatching",
    "LatentSampler",
    "MixtureDensity",
    "MixtureFlow",
    "SamplerTrainer",
    "draw_classes",
    "draw_subsets",
    "fit",
    "hide_cells",
    "make_optimizer",
]
