"""Numerical operations: the product of Gaussian experts.

Other modules: `random` (streams of random numbers), `importance` (sums of importance weights),
`loops`, `replicas`, `tokens`.
"""

from tf_mvae.ops.gaussian_product import gaussian_product, gaussian_product_sample

__all__ = ["gaussian_product", "gaussian_product_sample"]
