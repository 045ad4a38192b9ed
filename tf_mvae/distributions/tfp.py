"""The functions of TensorFlow Probability that other parts of the package use.

No module outside of `tf_mvae.distributions` imports TFP (a test holds that), so that this is what
would have to be replaced if TFP stopped working; docs/releasing.md has the list.
"""

from collections.abc import Callable
from typing import TypeAlias

import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability import distributions as tfd

__all__ = ["Distribution", "minimize", "mixture", "sample_quantiles", "transformed"]

Distribution: TypeAlias = tfd.Distribution


def mixture(weight: tf.Tensor, components: Distribution) -> Distribution:
    """Returns a `tfd.MixtureSameFamily`, `sum_k weight_k p_k(z)`.

    Args:
        weight: `[..., component]`; sums to 1.
        components: Batch `[..., component]`, events `[latent]`.
    """
    return tfd.MixtureSameFamily(tfd.Categorical(probs=weight), components)


def transformed(
    base: Distribution,
    forward: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    inverse: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
) -> Distribution:
    """Returns a `tfd.TransformedDistribution`, the distribution of `z = forward(noise)`.

    Args:
        base: Of the noise; events `[latent]`.
        forward: From noise to z, with `log |det dz / dnoise|`.
        inverse: From z to noise, with `log |det dnoise / dz|`.
    """
    bijector = tfp.bijectors.Inline(
        forward_fn=lambda noise: forward(noise)[0],
        inverse_fn=lambda z: inverse(z)[0],
        inverse_log_det_jacobian_fn=lambda z: inverse(z)[1],
        forward_log_det_jacobian_fn=lambda noise: forward(noise)[1],
        forward_min_event_ndims=1,
    )
    return tfd.TransformedDistribution(base, bijector)


def sample_quantiles(
    sample: tf.Tensor, probability: tf.Tensor, are_counts: bool = False
) -> tf.Tensor:
    """Returns quantiles of K samples, the values of the ranks `(K + 1) p`, `[quantile, ...]`.

    The graph version of `tf_mvae.inference.imputation_quantiles.sample_quantiles`, which says why.

    Args:
        sample: `[sample, ...]`.
        probability: In (0, 1), `[quantile]`.
        are_counts: Whether a quantile is one of the samples, that of the nearest rank.
    """
    number = tf.cast(tf.shape(sample)[0], tf.float32)
    ranks = (number + 1) * tf.cast(probability, tf.float32)
    if are_counts:
        ranks = tf.floor(ranks + 0.5 + 1e-3)  # a half is rounded up in spite of float32
    place = (tf.clip_by_value(ranks, 1.0, number) - 1) / tf.maximum(number - 1, 1.0)
    how = "nearest" if are_counts else "linear"
    return tfp.stats.percentile(sample, 100 * place, axis=0, interpolation=how)


def minimize(
    loss: Callable[[tf.Tensor], tf.Tensor], start: tf.Tensor, tolerance: float, steps: int
) -> tf.Tensor:
    """Returns where a smooth function is least, `[dimension]`, by L-BFGS.

    Args:
        loss: From a vector to a number.
        start: The vector to begin with.
        tolerance: Stops where no entry of the gradient is larger.
        steps: The largest number of iterations.
    """
    return tfp.optimizer.lbfgs_minimize(
        lambda position: tfp.math.value_and_gradient(loss, position),
        start,
        tolerance=tolerance,
        max_iterations=steps,
    ).position
