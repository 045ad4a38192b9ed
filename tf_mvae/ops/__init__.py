"""Numerical operations: the product of Gaussian experts."""

from tf_mvae.ops.gaussian_product import gaussian_product

__all__ = ["gaussian_product"]
