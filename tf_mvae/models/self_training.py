"""Self-training: classes that examples lack, guessed by the model that learns."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import tensorflow as tf

from tf_mvae import checks
from tf_mvae.batch import present_mask
from tf_mvae.distributions.likelihoods import Categorical
from tf_mvae.modality import Modality

if TYPE_CHECKING:
    from tf_mvae.models.base import BaseVAE

__all__ = ["check_self_training", "guess_missing"]

# More would follow the chance by which classes are rare in one batch.
_ROUNDS = 3


def check_self_training(confidence: Mapping[str, float], modalities: Sequence[Modality]) -> None:
    """Raises ValueError where a name is no class modality or a confidence is no probability."""
    classes = [m.name for m in modalities if isinstance(m.likelihood, Categorical)]
    for name, value in confidence.items():
        if name not in classes:
            raise ValueError(f"self_training names {name!r}; it is for some of {classes}")
        checks.fraction(f"self_training[{name!r}]", value)


def guess_missing(
    model: "BaseVAE",
    x: Mapping[str, tf.Tensor],
    mask: Mapping[str, tf.Tensor],
    confidence: Mapping[str, float],
    weight: float | tf.Tensor,
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Puts the model's own guess where an example lacks a class and the model is sure of it.

    The guess is the most probable class under `p(class | z)` at the posterior mean z of
    what the example has. It is for a decoder to reconstruct (a pseudo-label: Lee, 2013,
    with the threshold of Sohn et al., FixMatch, NeurIPS 2020); no encoder is to see it.
    No gradient flows through it.

    Probabilities are brought into line with how often classes occur among the batch's
    examples that have theirs (distribution alignment: Berthelot et al., ReMixMatch, ICLR
    2020), without which a model of few pairs can end up guessing one class throughout:

        p'(c) ∝ p(c) r(c) / (sum of p(c) over what is guessed + n r(c))

    where `r(c) = (examples of class c + 1) / (examples that have a class + n)` with n
    classes; and that three times, each time from what the last one gave (the beginning of
    Sinkhorn's iteration), since once does little to a model that is very sure.

    Args:
        model: The model.
        x: Raw data by name, `[batch, *event_shape]`.
        mask: Masks by name, `[batch]`.
        confidence: By class modality, the probability above which a guess counts.
        weight: What a guess counts, where a class that is there counts 1; 0, and none does.

    Returns:
        `x` with guesses, and by name 1 for what is there and `weight` for what is guessed.
    """
    loc = model._infer(x, mask).mean()
    something = tf.reduce_max(present_mask(mask, model.modalities), axis=1) > 0
    given = {name: x[name] for name in model.given_to_decoders}
    guesses = model.from_latent(loc, names=list(confidence), given=given)
    x, targets = dict(x), dict(mask)
    for name, probabilities in guesses.items():
        guessing = tf.cast(something & (mask[name] == 0), probabilities.dtype)
        probabilities = _aligned(
            tf.stop_gradient(probabilities), guessing, tf.cast(x[name], tf.int32), mask[name]
        )
        sure = tf.reduce_max(probabilities, axis=-1) > confidence[name]
        guessed = sure & (guessing > 0) & (weight > 0)
        guess = tf.cast(tf.argmax(probabilities, axis=-1, output_type=tf.int32), x[name].dtype)
        x[name] = tf.where(guessed, guess, x[name])
        targets[name] = mask[name] + weight * tf.cast(guessed, mask[name].dtype)
    return x, targets


def _aligned(
    probabilities: tf.Tensor, guessing: tf.Tensor, classes: tf.Tensor, mask: tf.Tensor
) -> tf.Tensor:
    """Brings guesses into line with the classes that are there; see `guess_missing`.

    Args:
        probabilities: `[batch, class]`.
        guessing: 1 where the class is guessed, `[batch]`.
        classes: `[batch]`.
        mask: 1 where it is there, `[batch]`.
    """
    number = probabilities.shape[-1]
    labelled = tf.where(mask[:, tf.newaxis] > 0, tf.one_hot(classes, number), 0.0)
    rate = (tf.reduce_sum(labelled, axis=0) + 1) / (tf.reduce_sum(mask) + number)
    for _ in range(_ROUNDS):
        guessed = tf.linalg.matvec(probabilities, guessing, transpose_a=True) + number * rate
        probabilities = probabilities * rate / guessed
        probabilities /= tf.reduce_sum(probabilities, axis=-1, keepdims=True)
    return probabilities
