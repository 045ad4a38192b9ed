"""Self-training: missing classes, guessed by the model that learns."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tf_mvae import checks
from tf_mvae.batch import example_weight, present_mask, unpack
from tf_mvae.modality import Modality
from tf_mvae.settings import Setting

if TYPE_CHECKING:
    from tf_mvae.models.base import BaseVAE

__all__ = ["SELF_TRAINING_SETTINGS", "SelfTraining", "guess_missing"]

SELF_TRAINING_SETTINGS = (
    Setting(
        "self_training",
        {},
        "If an example is missing a class, the model's own guess is a target if its probability is "
        "above this: label=0.95.",
    ),
    Setting(
        "self_training_weight",
        1.0,
        "What a guess counts, where an observed class counts 1.",
        checks.positive_fraction,
    ),
    Setting(
        "self_training_start",
        1000,
        "Steps before self-training begins.",
        checks.non_negative_integer,
    ),
)

# More would follow the chance by which classes are rare in one batch.
_ROUNDS = 3


class SelfTraining:
    """Which classes a model guesses in training, and what a guess counts; see `guess_missing`.

    Attributes:
        confidence: By class modality, the probability above which a guess counts.
        weight: What a guess counts, where an observed class counts 1.
        start: Steps before that begins.
    """

    def __init__(
        self,
        confidence: Mapping[str, float],
        weight: float,
        start: int,
        modalities: Sequence[Modality],
    ):
        """Takes the attributes.

        Raises:
            ValueError: A name is no class modality, or a number is out of its range.
        """
        classes = [m.name for m in modalities if m.likelihood.is_categorical]
        for name, value in dict(confidence).items():
            if name not in classes:
                raise ValueError(f"self_training names {name!r}; it is for some of {classes}")
            checks.fraction(f"self_training[{name!r}]", value)
        self.confidence = {name: float(value) for name, value in dict(confidence).items()}
        self.weight = checks.positive_fraction("self_training_weight", weight)
        self.start = checks.non_negative_integer("self_training_start", start)

    def possible_targets(self, present: tf.Tensor, names: Sequence[str]) -> tf.Tensor:
        """Returns 1 where an example may have to reconstruct a modality, `[batch, modality]`."""
        guessed = tf.constant([float(name in self.confidence) for name in names])
        return tf.maximum(present, guessed * tf.reduce_max(present, axis=1, keepdims=True))

    def completed(
        self, model: "BaseVAE", data: Any, step: tf.Tensor
    ) -> tuple[Any, dict[str, tf.Tensor] | None]:
        """Returns a batch with guesses, and what each reconstruction counts by name."""
        if not self.confidence:
            return data, None
        x, mask = unpack(data, model.batch_inputs)
        weight = tf.where(step < self.start, 0.0, self.weight)
        x, targets = guess_missing(model, x, mask, self.confidence, weight)
        completed = {"x": x, "mask": mask}
        of_examples = example_weight(data)
        return completed if of_examples is None else completed | {"weight": of_examples}, targets

    def get_config(self) -> dict[str, Any]:
        """Returns a model's arguments that make this again."""
        return {
            "self_training": self.confidence,
            "self_training_weight": self.weight,
            "self_training_start": self.start,
        }


def guess_missing(
    model: "BaseVAE",
    x: Mapping[str, tf.Tensor],
    mask: Mapping[str, tf.Tensor],
    confidence: Mapping[str, float],
    weight: float | tf.Tensor,
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Puts the model's own guess where a class is missing and the model is sure of it.

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
