"""Posteriors `q(z | S)`: distributions for many subsets at once, and the kinds that make them."""

from tf_mvae.posteriors.conditional import ConditionalNetwork
from tf_mvae.posteriors.context import Context, subset_context
from tf_mvae.posteriors.first_expert import FirstExpert
from tf_mvae.posteriors.gaussian import DiagonalGaussian
from tf_mvae.posteriors.joint_network import JointNetwork
from tf_mvae.posteriors.kind import Encoded, ExpertKind, PosteriorKind
from tf_mvae.posteriors.latent import LatentSpace, PrivatePriors
from tf_mvae.posteriors.mixture import GaussianMixture
from tf_mvae.posteriors.mixtures import MixtureOfExperts, MixtureOfProducts
from tf_mvae.posteriors.posterior import Posterior
from tf_mvae.posteriors.private import PrivateMixtureOfExperts
from tf_mvae.posteriors.product import Product, Quotient
from tf_mvae.posteriors.proposals import draw_from_each, draw_proposals
from tf_mvae.posteriors.refinement import refined

__all__ = [
    "ConditionalNetwork",
    "Context",
    "DiagonalGaussian",
    "Encoded",
    "ExpertKind",
    "FirstExpert",
    "GaussianMixture",
    "JointNetwork",
    "LatentSpace",
    "MixtureOfExperts",
    "MixtureOfProducts",
    "Posterior",
    "PosteriorKind",
    "PrivateMixtureOfExperts",
    "PrivatePriors",
    "Product",
    "Quotient",
    "draw_from_each",
    "draw_proposals",
    "refined",
    "subset_context",
]
