"""The product of the prior expert and masked diagonal Gaussian experts."""

import math

import tensorflow as tf

__all__ = ["gaussian_product", "log_variance_limit"]


def log_variance_limit(dtype: tf.DType) -> float:
    """Returns the largest absolute log-variance that `gaussian_product` tells apart.

    It is a little less than half of the logarithm of the type's largest number, so
    that a precision, its square (which the gradient holds) and its product with a
    mean of up to about the square root of that number are all finite.

    Args:
        dtype: The floating type that the product is computed in.
    """
    return math.floor(0.45 * math.log(tf.as_dtype(dtype).max))


def gaussian_product(
    loc: tf.Tensor, log_variance: tf.Tensor, mask: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    r"""Multiplies the prior expert and the experts that a mask leaves in.

    For a subset \(S\) of diagonal Gaussian experts with means \(\mu_i\) and
    precisions \(T_i = \exp(-\text{log\_variance}_i)\), and the prior expert
    \(N(0, I)\), which is counted exactly once whatever the subset,

        variance = 1 / (1 + sum_{i in S} T_i)
        loc      = variance * sum_{i in S} T_i * loc_i

    (Wu and Goodman, NeurIPS 2018, section 2.1). Every expert is read once and serves
    all the subsets. Log-variances beyond `log_variance_limit` (39 in float32, a
    standard deviation of 3e-9) are taken to be at the limit, which is what keeps
    values and gradients finite whatever a network puts out. bfloat16 and half inputs
    are accumulated in float32 and returned in their own type.

    Args:
        loc: Means of the experts, `[batch, modality, latent]`.
        log_variance: Natural logarithms of their variances, the same shape.
        mask: 1 (or True) where a subset contains an expert, else 0:
            `[term, batch, modality]`, or `[batch, modality]` for one subset.
            An expert that no subset of its example contains may hold anything,
            NaN too.

    Returns:
        `(loc, log_variance)` of the products, each `[term, batch, latent]`, or
        `[batch, latent]` for one subset. With nothing left in, the prior: zeros.

    Raises:
        ValueError: A shape does not fit.

    Example:

    ```python
    loc, log_variance = gaussian_product(
        tf.constant([[[1.0], [3.0]]]), tf.zeros([1, 2, 1]), tf.constant([[1.0, 1.0]]))
    # loc = (1 + 3) / 3 = 1.333, log_variance = log(1 / 3)
    ```
    """
    loc = tf.convert_to_tensor(loc)
    dtype = loc.dtype
    log_variance = tf.convert_to_tensor(log_variance, dtype)
    mask = tf.convert_to_tensor(mask)
    if loc.shape.rank != 3 or not loc.shape.is_compatible_with(log_variance.shape):
        raise ValueError(
            "loc and log_variance must both be [batch, modality, latent]; they are "
            f"{loc.shape} and {log_variance.shape}"
        )
    if mask.shape.rank not in (2, 3) or not mask.shape[-2:].is_compatible_with(loc.shape[:2]):
        raise ValueError(
            "mask must be [term, batch, modality] or [batch, modality] with the experts' "
            f"batch and modality {loc.shape[:2]}; it is {mask.shape}"
        )
    one_subset = mask.shape.rank == 2
    compute_dtype = tf.float32 if dtype.size < 4 else dtype
    mask = tf.cast(mask[tf.newaxis] if one_subset else mask, compute_dtype)

    used = tf.reduce_any(mask > 0, axis=0)[..., tf.newaxis]
    limit = log_variance_limit(compute_dtype)
    loc = tf.where(used, tf.cast(loc, compute_dtype), 0)
    log_variance = tf.where(used, tf.cast(log_variance, compute_dtype), 0)
    precision = tf.exp(-tf.clip_by_value(log_variance, -limit, limit))

    total = 1 + tf.einsum("tbm,bml->tbl", mask, precision)
    product_loc = tf.einsum("tbm,bml->tbl", mask, precision * loc) / total
    product_log_variance = -tf.math.log(total)
    if one_subset:
        product_loc, product_log_variance = product_loc[0], product_log_variance[0]
    return tf.cast(product_loc, dtype), tf.cast(product_log_variance, dtype)
