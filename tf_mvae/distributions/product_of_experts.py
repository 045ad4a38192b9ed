"""Gaussian experts and their product as TensorFlow Probability distributions."""

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tf_mvae.ops import gaussian_product, reference

__all__ = [
    "diagonal_normal",
    "gaussian_kl",
    "gaussian_kl_to_prior",
    "gaussian_product_of_experts",
    "standard_normal",
]


def diagonal_normal(loc: tf.Tensor, log_variance: tf.Tensor) -> tfd.Distribution:
    """Returns a diagonal normal distribution with events `[latent]`.

    Args:
        loc: Means, `[..., latent]`.
        log_variance: Logarithms of the variances, the same shape.
    """
    return tfd.MultivariateNormalDiag(loc, tf.exp(log_variance / 2))


def standard_normal(latent_dim: int, dtype: tf.DType = tf.float32) -> tfd.Distribution:
    """Returns the prior, `N(0, I)` with events `[latent_dim]`."""
    zeros = tf.zeros([latent_dim], dtype)
    return diagonal_normal(zeros, zeros)


def gaussian_product_of_experts(
    loc: tf.Tensor, log_variance: tf.Tensor, mask: tf.Tensor
) -> tfd.Distribution:
    """Returns the product of the prior expert and the masked experts as a distribution.

    Args:
        loc: Means of the experts, `[batch, modality, latent]`.
        log_variance: Logarithms of their variances, the same shape.
        mask: `[term, batch, modality]` or `[batch, modality]`, 1 where an expert is in.

    Returns:
        A `tfd.MultivariateNormalDiag` with batch `[term, batch]` (or `[batch]`) and
        events `[latent]`. See `tf_mvae.ops.gaussian_product` for the formula.

    Example:

    ```python
    q = gaussian_product_of_experts(tf.ones([4, 2, 8]), tf.zeros([4, 2, 8]), tf.ones([4, 2]))
    q.sample().shape   # [4, 8]
    ```
    """
    return diagonal_normal(*gaussian_product(loc, log_variance, mask))


def gaussian_kl(
    loc: tf.Tensor, log_variance: tf.Tensor, other_loc: tf.Tensor, other_log_variance: tf.Tensor
) -> tf.Tensor:
    """Returns the divergence of a diagonal normal from another, in nats.

    `KL(N(m, V) || N(n, W)) = sum(log W - log V + (V + (m - n)^2) / W - 1) / 2`. (TFP has
    no closed form that takes log-variances.)

    Args:
        loc: Means of the first, `[..., latent]`.
        log_variance: Logarithms of its variances, the same shape.
        other_loc: Means of the second; shapes broadcast.
        other_log_variance: Logarithms of its variances.

    Returns:
        A tensor of shape `[...]`, never below 0 except for rounding.
    """
    ratio = log_variance - other_log_variance
    distance = tf.square(loc - other_loc) * tf.exp(-other_log_variance)
    return 0.5 * tf.reduce_sum(tf.math.expm1(ratio) - ratio + distance, axis=-1)


def gaussian_kl_to_prior(loc: tf.Tensor, log_variance: tf.Tensor) -> tf.Tensor:
    """Returns the divergence of a diagonal normal from the prior, in nats.

    `KL(N(loc, V) || N(0, I)) = sum(V + loc^2 - 1 - log V) / 2`
    (Kingma and Welling, ICLR 2014, appendix B).

    Args:
        loc: Means, `[..., latent]`.
        log_variance: Logarithms of the variances, the same shape.

    Returns:
        A tensor of shape `[...]`, never below 0 except for rounding.
    """
    return reference.kl_to_prior(loc, log_variance)
