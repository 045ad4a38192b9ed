"""The product of Gaussian experts in TensorFlow's own operations: what the compiled op equals.

It runs everywhere, XLA compiles it, and exported models hold nothing else. Shapes and
formulas stand in `tf_mvae.ops.gaussian_product`, which also checks what it is given.
"""

import math

import tensorflow as tf

__all__ = ["kl_to_prior", "log_variance_limit", "product", "product_sample"]


def log_variance_limit(dtype: tf.DType) -> float:
    """Returns the largest absolute log-variance that `gaussian_product` distinguishes.

    It is a little less than half of the logarithm of the type's largest number, so
    that a precision, its square (which the gradient holds) and its product with a
    mean of up to about the square root of that number are all finite.

    Args:
        dtype: The floating type that the product is computed in.
    """
    return math.floor(0.45 * math.log(tf.as_dtype(dtype).max))


def product(
    loc: tf.Tensor, log_variance: tf.Tensor, mask: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the products' `loc` and `log_variance`, `[term, batch, latent]`.

    Args:
        loc: Means of the experts, `[batch, modality, latent]`, float32 or float64.
        log_variance: Logarithms of their variances, the same shape.
        mask: `[term, batch, modality]`, above 0 (or True) where a term contains an expert.
    """
    contains = mask if mask.dtype.is_bool else mask > 0
    used = tf.reduce_any(contains, axis=0)[..., tf.newaxis]
    contains = tf.cast(contains, loc.dtype)
    limit = log_variance_limit(loc.dtype)
    loc = tf.where(used, loc, 0)
    log_variance = tf.where(used, log_variance, 0)
    precision = tf.exp(-tf.clip_by_value(log_variance, -limit, limit))

    total = 1 + tf.einsum("tbm,bml->tbl", contains, precision)
    product_loc = tf.einsum("tbm,bml->tbl", contains, precision * loc) / total
    return product_loc, -tf.math.log(total)


def product_sample(
    loc: tf.Tensor, log_variance: tf.Tensor, mask: tf.Tensor, noise: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns `z`, `kl`, and `product`'s answer.

    Args:
        loc: See `product`.
        log_variance: See `product`.
        mask: See `product`.
        noise: `[sample, term, batch, latent]`.
    """
    product_loc, product_log_variance = product(loc, log_variance, mask)
    z = product_loc + tf.exp(product_log_variance / 2) * noise
    kl = kl_to_prior(product_loc, product_log_variance)
    return z, kl, product_loc, product_log_variance


def kl_to_prior(loc: tf.Tensor, log_variance: tf.Tensor) -> tf.Tensor:
    """Returns the divergence of diagonal normals from the prior, summed over the latent.

    Args:
        loc: Means, `[..., latent]`.
        log_variance: Logarithms of the variances, the same shape.
    """
    return 0.5 * tf.reduce_sum(tf.math.expm1(log_variance) - log_variance + tf.square(loc), axis=-1)
