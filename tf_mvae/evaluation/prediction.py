"""What a model predicts of one modality given others."""

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
    """Returns the mean of `p(target | z)` over samples of `q(z | given)`.

    Args:
        model: The model.
        target: The modality that is asked for.
        given: Arrays by name, `[batch, *event_shape]`.
        num_samples: Samples of z for an example.
        seed: Two integers.
        mask: Masks of what is given, `[batch]` by name.

    Returns:
        `[batch, *event_shape]`, with a last axis of probabilities for classes.
    """
    z = model.latent_samples(given, num_samples, mask, seed)
    return tf.reduce_mean(model.from_latent(z, None, [target], given)[target], axis=0)
