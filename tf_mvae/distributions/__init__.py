"""Likelihoods and products of experts, as TensorFlow Probability distributions."""

from tf_mvae.distributions import likelihoods
from tf_mvae.distributions.product_of_experts import (
    gaussian_kl_to_prior,
    gaussian_product_of_experts,
    standard_normal,
)

__all__ = [
    "gaussian_kl_to_prior",
    "gaussian_product_of_experts",
    "likelihoods",
    "standard_normal",
]
