"""The product of the prior expert and masked diagonal Gaussian experts."""

from typing import Any

import tensorflow as tf

from tf_mvae.ops import custom_op, custom_op_gradients, reference
from tf_mvae.ops.reference import log_variance_limit

__all__ = ["gaussian_product", "gaussian_product_sample", "log_variance_limit"]


def gaussian_product(
    loc: tf.Tensor, log_variance: tf.Tensor, mask: tf.Tensor, use_custom_op: bool | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    r"""Multiplies the prior expert and a subset of Gaussian experts, for many subsets at once.

    For a subset \(S\) of diagonal Gaussian experts with means \(\mu_i\) and
    precisions \(T_i = \exp(-\text{log\_variance}_i)\), and the prior expert
    \(N(0, I)\), which is counted exactly once for every subset,

        variance = 1 / (1 + sum_{i in S} T_i)
        loc      = variance * sum_{i in S} T_i * loc_i

    (Wu and Goodman, NeurIPS 2018, section 2.1). Log-variances are clipped to `log_variance_limit`
    (39 in float32: standard deviations are at least 3e-9), so that values and gradients are finite
    for any output of a network. bfloat16 and half inputs are computed in float32 and returned in
    their own type.

    The compiled op (`custom_ops/README.md`) is used if it is installed, except in functions that
    XLA compiles. Its results differ by rounding only.

    Args:
        loc: Means of the experts, `[batch, modality, latent]`.
        log_variance: Natural logarithms of their variances, of the same shape.
        mask: Above 0 (or True) if a subset contains an expert: `[term, batch, modality]`,
            or `[batch, modality]` for one subset. It has no derivative. The values of an expert
            that is in no subset have no effect; they may be NaN.
        use_custom_op: Whether to use the compiled op; see `custom_op.chosen`. Default: the
            environment variable TF_MVAE_CUSTOM_OPS decides.

    Returns:
        `(loc, log_variance)` of the products, each `[term, batch, latent]`, or
        `[batch, latent]` for one subset. An empty subset gives the prior: zeros.

    Raises:
        ValueError: A shape does not fit.
        UserError: The compiled op is required and cannot be loaded.

    Example:

    ```python
    loc, log_variance = gaussian_product(
        tf.constant([[[1.0], [3.0]]]), tf.zeros([1, 2, 1]), tf.constant([[1.0, 1.0]]))
    # loc = (1 + 3) / 3 = 1.333, log_variance = log(1 / 3)
    ```
    """
    loc, log_variance, mask, dtype = _prepared(loc, log_variance, mask)
    one_subset = mask.shape.rank == 2
    mask = mask[tf.newaxis] if one_subset else mask
    op = custom_op.chosen(use_custom_op)
    if op is None:
        found = reference.product(loc, log_variance, mask)
    else:
        found = custom_op_gradients.product(op, loc, log_variance, mask)
    return tuple(tf.cast(part[0] if one_subset else part, dtype) for part in found)


def gaussian_product_sample(
    loc: tf.Tensor,
    log_variance: tf.Tensor,
    mask: tf.Tensor,
    noise: tf.Tensor,
    use_custom_op: bool | None = None,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Multiplies experts, samples the products and computes their divergence from the prior.

        z  = loc + exp(log_variance / 2) * noise
        kl = KL(N(loc, variance) || N(0, I)), in nats, summed over the latent

    with the `loc` and `log_variance` of `gaussian_product` (Kingma and Welling, ICLR 2014,
    section 2.4 and appendix B). The compiled op computes all of it in one pass over the experts.

    Args:
        loc: See `gaussian_product`.
        log_variance: See `gaussian_product`.
        mask: `[term, batch, modality]`, above 0 if a subset contains an expert.
        noise: Standard normal numbers, `[sample, term, batch, latent]`.
        use_custom_op: See `gaussian_product`.

    Returns:
        `(z, kl, loc, log_variance)`: `[sample, term, batch, latent]`, `[term, batch]` and
        twice `[term, batch, latent]`.

    Raises:
        ValueError: A shape does not fit.
        UserError: The compiled op is required and cannot be loaded.

    Example:

    ```python
    z, kl, loc, log_variance = gaussian_product_sample(
        tf.ones([4, 2, 8]), tf.zeros([4, 2, 8]), tf.ones([3, 4, 2]), tf.random.normal([1, 3, 4, 8]))
    ```
    """
    loc, log_variance, mask, dtype = _prepared(loc, log_variance, mask)
    noise = tf.cast(noise, loc.dtype)
    wanted = tf.TensorShape([None, mask.shape[0], loc.shape[0], loc.shape[2]])
    if mask.shape.rank != 3 or not noise.shape.is_compatible_with(wanted):
        raise ValueError(
            "mask must be [term, batch, modality] and noise [sample, term, batch, latent]; they "
            f"are {mask.shape} and {noise.shape}"
        )
    op = custom_op.chosen(use_custom_op)
    if op is None:
        found = reference.product_sample(loc, log_variance, mask, noise)
    else:
        found = custom_op_gradients.product_sample(op, loc, log_variance, mask, noise)
    return tuple(tf.cast(part, dtype) for part in found)


def _prepared(loc: Any, log_variance: Any, mask: Any) -> tuple[tf.Tensor, ...]:
    """Checks experts and mask, and returns them in the type of the computation.

    Returns:
        loc, log_variance, mask, and the type of `loc` as given, which results are cast to.
    """
    loc = tf.convert_to_tensor(loc)
    dtype = loc.dtype
    log_variance = tf.convert_to_tensor(log_variance, dtype)
    mask = tf.convert_to_tensor(mask)
    if loc.shape.rank != 3 or not loc.shape.is_compatible_with(log_variance.shape):
        raise ValueError(
            "loc and log_variance must both be [batch, modality, latent], and they are "
            f"{loc.shape} and {log_variance.shape}"
        )
    if mask.shape.rank not in (2, 3) or not mask.shape[-2:].is_compatible_with(loc.shape[:2]):
        raise ValueError(
            "mask must be [term, batch, modality] or [batch, modality] with the experts' "
            f"batch and modality {loc.shape[:2]}; it is {mask.shape}"
        )
    compute_dtype = tf.float32 if dtype.size < 4 else dtype
    if mask.dtype not in (tf.bool, tf.float32):
        mask = mask > 0
    return (
        tf.cast(loc, compute_dtype),
        tf.cast(log_variance, compute_dtype),
        tf.stop_gradient(mask),
        dtype,
    )
