"""Self-training: classes that examples lack, guessed by the model that learns."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import tensorflow as tf

from tf_mvae.distributions.likelihoods import Categorical
from tf_mvae.modality import Modality

if TYPE_CHECKING:
    from tf_mvae.models.base import MultimodalVAE

__all__ = ["check_self_training", "guess_missing"]


def check_self_training(confidence: Mapping[str, float], modalities: Sequence[Modality]) -> None:
    """Raises ValueError where a name is no class modality or a confidence is no probability."""
    classes = [m.name for m in modalities if isinstance(m.likelihood, Categorical)]
    for name, value in confidence.items():
        if name not in classes or not 0 <= value <= 1:
            raise ValueError(
                f"self_training holds a probability for some of {classes}, not {name}={value}"
            )


def guess_missing(
    model: "MultimodalVAE",
    x: Mapping[str, tf.Tensor],
    mask: Mapping[str, tf.Tensor],
    confidence: Mapping[str, float],
    active: tf.Tensor,
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Puts the model's own guess where an example lacks a class and the model is sure of it.

    The guess is the most probable class under `p(class | z)` at the posterior mean z of
    what the example has. It is for a decoder to reconstruct (a pseudo-label: Lee, 2013,
    with the threshold of Sohn et al., FixMatch, NeurIPS 2020); no encoder is to see it.
    No gradient flows through it.

    Args:
        model: The model.
        x: Raw data by name, `[batch, *event_shape]`.
        mask: Masks by name, `[batch]`.
        confidence: By class modality, the probability above which a guess counts.
        active: Whether any counts, a bool scalar.

    Returns:
        `x` with guesses, and masks of what is there or guessed, by name.
    """
    loc, _ = model._infer(x, mask)
    something = tf.add_n(list(mask.values())) > 0
    x, targets = dict(x), dict(mask)
    for name, probabilities in model.from_latent(loc, names=list(confidence)).items():
        probabilities = tf.stop_gradient(probabilities)
        sure = tf.reduce_max(probabilities, axis=-1) > confidence[name]
        guessed = sure & something & (mask[name] == 0) & active
        guess = tf.cast(tf.argmax(probabilities, axis=-1, output_type=tf.int32), x[name].dtype)
        x[name] = tf.where(guessed, guess, x[name])
        targets[name] = mask[name] + tf.cast(guessed, mask[name].dtype)
    return x, targets
