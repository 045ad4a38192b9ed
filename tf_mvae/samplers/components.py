"""The components of a mixture of Gaussians as functions of a subset's features."""

import keras
import tensorflow as tf

__all__ = ["component_layer", "gaussian_components"]

_MAX_LOG_FACTOR = 16.0


def component_layer(units: int, name: str, spread: bool = False) -> keras.layers.Layer:
    """Makes a linear layer whose output does not depend on the features at first.

    Args:
        units: Size of the output.
        name: Its name.
        spread: Whether the outputs differ: components that begin alike would stay alike.
    """
    bias = keras.initializers.RandomNormal(stddev=0.5, seed=0) if spread else "zeros"
    return keras.layers.Dense(
        units, kernel_initializer="zeros", bias_initializer=bias, dtype="float32", name=name
    )


def gaussian_components(
    features: tf.Tensor,
    offsets: keras.layers.Layer,
    log_factors: keras.layers.Layer,
    logits: keras.layers.Layer,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns means and log-variances, `[batch, component, latent]`, and weights.

    The log-variances are bounded by 16. A sampler may shift and scale the components.

    Args:
        features: Of the subsets, `[batch, width]`.
        offsets: The layer of the means.
        log_factors: That of the log-variances before the bound.
        logits: That of the weights.
    """
    weight = tf.nn.softmax(logits(features))
    shape = [-1, weight.shape[-1], offsets.units // weight.shape[-1]]
    loc, raw = (tf.reshape(layer(features), shape) for layer in (offsets, log_factors))
    return loc, _MAX_LOG_FACTOR * tf.tanh(raw / _MAX_LOG_FACTOR), weight
