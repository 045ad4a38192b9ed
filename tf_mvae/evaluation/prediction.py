"""Predictions of one modality given others."""

from collections.abc import Mapping

import tensorflow as tf

from tf_mvae.models import BaseVAE

__all__ = ["mean_prediction"]


def mean_prediction(
    model: BaseVAE,
    target: str,
    given: Mapping[str, tf.Tensor],
    num_samples: int,
    seed: tf.Tensor,
    mask: Mapping[str, tf.Tensor] | None = None,
) -> tf.Tensor:
    """Returns the expected value of one modality given others, averaged over the posterior.

        (1 / K) sum_k E[x_target | z_k],   z_k ~ q(z | given)

    Args:
        model: The model.
        target: The modality to predict.
        given: Given modalities by name, `[batch, *event_shape]`.
        num_samples: K, the samples of z per example.
        seed: Two integers.
        mask: Masks of the given modalities by name, `[batch]`; default: all are observed.

    Returns:
        `[batch, *event_shape]`; for classes `[batch, *event_shape, classes]`, probabilities.
    """
    z = model.latent_samples(given, num_samples, mask, seed)
    return tf.reduce_mean(model.from_latent(z, None, [target], given)[target], axis=0)
