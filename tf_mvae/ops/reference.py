"""The product of Gaussian experts in TensorFlow's own operations, the reference of the compiled op.

It runs on every device and under XLA, and exported models use it. `tf_mvae.ops.gaussian_product`
documents formulas and shapes, and checks the arguments.
"""

import math

import tensorflow as tf

__all__ = ["kl_to_prior", "log_variance_limit", "product", "product_sample"]


def log_variance_limit(dtype: tf.DType) -> float:
    """Returns the bound that `gaussian_product` clips absolute log-variances to.

        floor(0.45 log(largest number of the type))

    With it a precision, its square (in the gradient), and its product with a mean of up to about
    the square root of the largest number are all finite.

    Args:
        dtype: The floating-point type of the computation.
    """
    return math.floor(0.45 * math.log(tf.as_dtype(dtype).max))


def product(
    loc: tf.Tensor, log_variance: tf.Tensor, mask: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the products' `loc` and `log_variance`, `[term, batch, latent]`.

    Args:
        loc: Means of the experts, `[batch, modality, latent]`, float32 or float64.
        log_variance: Logarithms of their variances, of the same shape.
        mask: `[term, batch, modality]`, above 0 (or True) if a term contains an expert.
    """
    contains = mask if mask.dtype.is_bool else mask > 0
    # Experts that no term contains may be NaN, and 0 * NaN is NaN: replace them by 0.
    used = tf.reduce_any(contains, axis=0)[..., tf.newaxis]
    contains = tf.cast(contains, loc.dtype)
    limit = log_variance_limit(loc.dtype)
    loc = tf.where(used, loc, 0)
    log_variance = tf.where(used, log_variance, 0)
    precision = tf.exp(-tf.clip_by_value(log_variance, -limit, limit))

    # Sums over the modalities m of each term t, [term, batch, latent]; 1 is the prior's precision.
    total = 1 + tf.einsum("tbm,bml->tbl", contains, precision)
    product_loc = tf.einsum("tbm,bml->tbl", contains, precision * loc) / total
    return product_loc, -tf.math.log(total)


def product_sample(
    loc: tf.Tensor, log_variance: tf.Tensor, mask: tf.Tensor, noise: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns samples of the products, their divergence from the prior, and the products.

    Args:
        loc: See `product`.
        log_variance: See `product`.
        mask: See `product`.
        noise: Standard normal numbers, `[sample, term, batch, latent]`.

    Returns:
        `(z, kl, loc, log_variance)`: `[sample, term, batch, latent]`, `[term, batch]` in nats, and
        twice `[term, batch, latent]`.
    """
    product_loc, product_log_variance = product(loc, log_variance, mask)
    z = product_loc + tf.exp(product_log_variance / 2) * noise
    kl = kl_to_prior(product_loc, product_log_variance)
    return z, kl, product_loc, product_log_variance


def kl_to_prior(loc: tf.Tensor, log_variance: tf.Tensor) -> tf.Tensor:
    """Returns the KL divergence of diagonal normals from the standard normal prior, in nats.

        1/2 sum_latent (exp(log_variance) - 1 - log_variance + loc^2)

    Args:
        loc: Means, `[..., latent]`.
        log_variance: Logarithms of the variances, of the same shape.

    Returns:
        `[...]`.

    Example:
    ```python
    from tf_mvae.ops.reference import kl_to_prior

    kl_to_prior(tf.constant([[1.0, 0.0]]), tf.zeros([1, 2]))  # [0.5]
    ```
    """
    return 0.5 * tf.reduce_sum(tf.math.expm1(log_variance) - log_variance + tf.square(loc), axis=-1)
