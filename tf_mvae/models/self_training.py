"""Self-training: the model's predictions of missing classes become targets."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tf_mvae import checks
from tf_mvae.batch import example_weight, present_mask, unpack
from tf_mvae.errors import UserError
from tf_mvae.modality import Modality
from tf_mvae.ops.replicas import sum_over_replicas
from tf_mvae.settings import Setting

if TYPE_CHECKING:
    from tf_mvae.models.base import BaseVAE

__all__ = ["SELF_TRAINING_SETTINGS", "SelfTraining", "guess_missing"]

SELF_TRAINING_SETTINGS = (
    Setting(
        "self_training",
        {},
        "Self-training: where a class is missing, the model's prediction becomes a target "
        "if its probability is above this: label=0.95.",
    ),
    Setting(
        "self_training_weight",
        1.0,
        "Weight of a predicted target; an observed class has 1.",
        checks.positive_fraction,
    ),
    Setting(
        "self_training_start",
        1000,
        "Number of steps before self-training begins.",
        checks.non_negative_integer,
    ),
)

# More rounds would fit the random frequencies of classes in one batch.
_ROUNDS = 3


class SelfTraining:
    """The settings of self-training; see `guess_missing`.

    Attributes:
        confidence: By class modality, the probability above which a prediction becomes a target.
        weight: The weight of a predicted target; an observed class has weight 1.
        start: The number of steps before self-training begins.
    """

    def __init__(
        self,
        confidence: Mapping[str, float],
        weight: float,
        start: int,
        modalities: Sequence[Modality],
    ):
        """Checks and stores the settings.

        Args:
            confidence: See the class.
            weight: See the class.
            start: See the class.
            modalities: The model's modalities.

        Raises:
            ValueError: A name is not a class modality, or a number is out of its range.
        """
        checks.instance("self_training", confidence, Mapping, "a dict of probabilities by modality")
        classes = [m.name for m in modalities if m.likelihood.is_categorical]
        for name, value in dict(confidence).items():
            if name not in classes:
                raise UserError(f"self_training names {name!r}; it is for some of {classes}")
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
        """Returns a batch with predicted classes, and the weights of reconstructions by name.

        Args:
            model: The model.
            data: A training batch.
            step: The optimizer step.
        """
        if not self.confidence:
            return data, None
        x, mask = unpack(data, model.batch_inputs)
        weight = tf.where(step < self.start, 0.0, self.weight)
        x, targets = guess_missing(model, x, mask, self.confidence, weight)
        completed = {"x": x, "mask": mask}
        of_examples = example_weight(data)
        return completed if of_examples is None else completed | {"weight": of_examples}, targets

    def get_config(self) -> dict[str, Any]:
        """Returns the model's arguments that define these settings."""
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
    """Fills missing classes with the model's predictions, if their probability is high enough.

    The prediction is the most probable class under `p(class | z)` at the posterior mean z given the
    observed modalities. It is a target for the decoder (a pseudo-label: Lee, 2013, with the
    threshold of Sohn et al., FixMatch, NeurIPS 2020), but not an input of an encoder, and it has no
    gradient.

    Probabilities are aligned with the frequencies of classes among the labelled examples of the
    batch (distribution alignment: Berthelot et al., ReMixMatch, ICLR 2020). Without this, a model
    with few pairs can end up predicting one class for all examples:

        p'(c) ∝ p(c) r(c) / (sum of p(c) over unlabelled examples + n r(c))
        r(c) = (examples of class c + 1) / (labelled examples + n)

    with n classes. This is repeated three times (the beginning of Sinkhorn's iteration), because
    once has little effect on very confident predictions.

    Args:
        model: The model.
        x: Raw data by name, `[batch, *event_shape]`.
        mask: Masks by name, `[batch]`.
        confidence: By class modality, the probability above which a prediction becomes a target.
        weight: The weight of a predicted target (an observed class has 1); 0: no predicted targets.

    Returns:
        `x` with predicted classes, and targets' weights by name: 1 for observed values, `weight`
        for predicted ones, 0 otherwise.
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
    """Aligns predicted probabilities with the frequencies of observed classes; see `guess_missing`.

    Replicas have parts of a batch, and sum them.

    Args:
        probabilities: Predicted probabilities, `[batch, class]`.
        guessing: 1 if the class is to be predicted, `[batch]`.
        classes: Observed classes, `[batch]`.
        mask: 1 if the class is observed, `[batch]`.
    """
    number = probabilities.shape[-1]
    labelled = tf.where(mask[:, tf.newaxis] > 0, tf.one_hot(classes, number), 0.0)
    frequencies = sum_over_replicas(tf.reduce_sum(labelled, axis=0))
    rate = (frequencies + 1) / (sum_over_replicas(tf.reduce_sum(mask)) + number)
    for _ in range(_ROUNDS):
        # The sum of p(c) over unlabelled examples, [class].
        guessed = tf.linalg.matvec(probabilities, guessing, transpose_a=True)
        probabilities = probabilities * rate / (sum_over_replicas(guessed) + number * rate)
        probabilities /= tf.reduce_sum(probabilities, axis=-1, keepdims=True)
    return probabilities
