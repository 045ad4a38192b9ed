"""The accuracy of a class that is predicted from the other modalities."""

from collections.abc import Iterable
from typing import Any

import numpy as np
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

__all__ = ["analyze", "class_questions", "cross_modal_accuracy"]


def cross_modal_accuracy(
    model: BaseVAE, batches: Iterable[Any], num_samples: int = 16, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Measures the accuracy of each class modality, predicted from the other modalities.

        p(target | given) ~ (1 / K) sum_k p(target | z_k),   z_k ~ q(z | given)

    The prediction is the class with the largest probability. Examples in which the target or a
    given modality is missing are excluded.

    Args:
        model: The model.
        batches: Batches of `{"x": ..., "mask": ...}`.
        num_samples: K, the samples of z per example.
        seed: The seed of the samples; a batch's samples also depend on its index.

    Returns:
        Results of `share` by `"TARGET | GIVEN"`: for each class modality given each other modality,
        and given all others together if there are several; and by `"TARGET | GIVEN: always the
        same"` what a constant answer scores, the most frequent class of these examples.

    Example:
    ```python
    from tf_mvae.evaluation.accuracy import cross_modal_accuracy

    batches = [{"x": {"image": images, "label": labels}}]
    found = cross_modal_accuracy(model, batches)
    found["label | image"]["value"]  # a fraction
    ```
    """
    questions = class_questions(model)
    functions = {q: _counter(model, *q, num_samples) for q in questions}
    right, classes = dict.fromkeys(questions, 0.0), dict.fromkeys(questions, 0.0)
    for place, batch in enumerate(batches):
        x, mask = unpack(batch, model.batch_inputs)
        stream = random.fold_in(tf.constant([seed, 21]), place)
        for question, function in functions.items():
            counts = function(x, mask, stream)
            right[question] += float(counts[0])
            classes[question] += counts[1].numpy().astype(float)
    found = {}
    for question in questions:
        name, number = f"{question[0]} | {', '.join(question[1])}", np.sum(classes[question])
        found[name] = share(right[question], number)
        found[f"{name}: always the same"] = share(np.max(classes[question]), number)
    return found


@analysis("accuracy", "classes predicted from other modalities")
def analyze(run: Run, settings: Settings) -> dict[str, Any]:
    """Runs `cross_modal_accuracy` on a split of a run; the `accuracy` analysis.

    Raises:
        UserError: The model has no class to predict.
    """
    if not class_questions(run.model):
        raise UserError(
            f"--analysis=accuracy needs a model that predicts a class from other modalities; "
            f"{run.config.model} does not; choose another --analysis"
        )
    batches = settings.shown_batches(run, "accuracy")
    return cross_modal_accuracy(run.model, batches, settings.num_samples, settings.seed)


def class_questions(model: BaseVAE) -> list[tuple[str, tuple[str, ...]]]:
    """Returns pairs of a class modality and the modalities that it is predicted from.

    Args:
        model: The model.
    """
    names = [modality.name for modality in model.modalities]
    questions = []
    for modality in model.targets:
        if modality.likelihood.is_categorical:
            others = [name for name in names if name != modality.name]
            questions += [(modality.name, (other,)) for other in others]
            questions += [(modality.name, tuple(others))] * (len(others) > 1)
    return [(target, given) for target, given in questions if set(model.conditions) <= set(given)]


def _counter(model: BaseVAE, target: str, given: tuple[str, ...], num_samples: int):
    """Returns a function from a batch to the number of right predictions, and of each class."""

    @tf.function(autograph=False)
    def count(x, mask, seed):
        covariates = [covariate.name for covariate in model.covariates]
        chosen = {name: x[name] for name in (*given, *covariates)}
        there = {name: mask[name] for name in given}
        probabilities = mean_prediction(model, target, chosen, num_samples, seed, there)
        guess = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
        true = tf.cast(x[target], tf.int32)
        right = tf.cast(guess == true, tf.float32)
        # 1 for examples in which the target and all given modalities are observed, [batch]; of a
        # group any member.
        seen = [tf.reduce_max(mask[n], axis=range(1, mask[n].shape.rank)) for n in (target, *given)]
        counts = tf.reduce_prod(tf.stack(seen), axis=0)
        classes = tf.one_hot(true, probabilities.shape[-1])
        return tf.reduce_sum(right * counts), tf.reduce_sum(classes * counts[:, tf.newaxis], 0)

    return count
