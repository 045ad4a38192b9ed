"""Numerical operations: the product of Gaussian experts."""

from tf_mvae.ops.gaussian_product import gaussian_product, gaussian_product_sample

__all__ = ["gaussian_product", "gaussian_product_sample"]
