"""How well a class is predicted from the other modalities."""

from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from tf_mvae.batch import unpack
from tf_mvae.errors import UserError
from tf_mvae.evaluation.prediction import mean_prediction
from tf_mvae.evaluation.registry import analysis
from tf_mvae.evaluation.run import Run
from tf_mvae.evaluation.settings import Settings
from tf_mvae.evaluation.statistics import share
from tf_mvae.models import BaseVAE
from tf_mvae.ops import random

__all__ = ["analyze", "cross_modal_accuracy"]


def cross_modal_accuracy(
    model: BaseVAE, batches: Iterable[Any], num_samples: int = 16, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Measures how often the most probable class given other modalities is the true one.

    `p(target | given)` is the mean of `p(target | z)` over samples `z ~ q(z | given)`
    (samples, not the posterior's mean).

    Args:
        model: The model.
        batches: Batches of `{"x": ..., "mask": ...}`.
        num_samples: Samples of z for an example.
        seed: Their seed; a batch's draws depend on its place.

    Returns:
        `"TARGET | GIVEN"` to `share`, for each class modality given each other modality,
        and given all the others where there are several. Examples that do not have one of
        them do not count.
    """
    questions = _questions(model)
    functions = {q: _counter(model, *q, num_samples) for q in questions}
    totals = {q: [0.0, 0.0] for q in questions}
    for place, batch in enumerate(batches):
        x, mask = unpack(batch, model.batch_inputs)
        stream = random.fold_in(tf.constant([seed, 21]), place)
        for question, function in functions.items():
            for index, count in enumerate(function(x, mask, stream)):
                totals[question][index] += float(count)
    return {f"{t} | {', '.join(given)}": share(*totals[t, given]) for t, given in questions}


@analysis("accuracy", "classes predicted from other modalities")
def analyze(run: Run, settings: Settings) -> dict[str, Any]:
    """Runs `cross_modal_accuracy` on a run's split; the `accuracy` analysis.

    Raises:
        UserError: The model has no class to predict.
    """
    if not _questions(run.model):
        raise UserError(
            f"--analysis=accuracy needs a model that infers a class from something else; "
            f"{run.config.model} does not; leave it out"
        )
    batches = settings.shown_batches(run, "accuracy")
    return cross_modal_accuracy(run.model, batches, settings.num_samples, settings.seed)


def _questions(model: BaseVAE) -> list[tuple[str, tuple[str, ...]]]:
    names = [modality.name for modality in model.modalities]
    questions = []
    for modality in model.targets:
        if modality.likelihood.is_categorical:
            others = [name for name in names if name != modality.name]
            questions += [(modality.name, (other,)) for other in others]
            questions += [(modality.name, tuple(others))] * (len(others) > 1)
    return [(target, given) for target, given in questions if set(model.conditions) <= set(given)]


def _counter(model: BaseVAE, target: str, given: tuple[str, ...], num_samples: int):
    @tf.function(autograph=False)
    def count(x, mask, seed):
        chosen = {name: x[name] for name in given}
        there = {name: mask[name] for name in given}
        probabilities = mean_prediction(model, target, chosen, num_samples, seed, there)
        guess = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
        right = tf.cast(guess == tf.cast(x[target], tf.int32), tf.float32)
        counts = tf.reduce_prod(tf.stack([mask[name] for name in (target, *given)]), axis=0)
        return tf.reduce_sum(right * counts), tf.reduce_sum(counts)

    return count
