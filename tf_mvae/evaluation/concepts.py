"""Properties that generated examples are judged by: a class, attributes, or a string.

A concept is a property that an image shows and that another modality, such as the label, contains.
It defines the true value of an example, the value in a generated modality, and how values are
compared.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from tf_mvae.errors import UserError
from tf_mvae.evaluation.attributes import (
    attribute_classifier,
    known_members,
    mean_over_attributes,
    network_predictor,
    predicted_attributes,
    prevalence,
)
from tf_mvae.evaluation.classifier import kept_classifier
from tf_mvae.evaluation.judges import Judge
from tf_mvae.evaluation.run import Run
from tf_mvae.evaluation.settings import Settings
from tf_mvae.evaluation.statistics import mean_share, share
from tf_mvae.evaluation.thresholds import balanced_thresholds
from tf_mvae.group import attribute_groups
from tf_mvae.modality import Modality
from tf_mvae.models import BaseVAE
from tf_mvae.ops.tokens import blank_rest

__all__ = ["AttributeConcept", "Concept", "StringConcept", "concepts_of"]

_MOST_ATTRIBUTES = 100  # a longer vector (pixels, say) is not a list of attributes


class Concept:
    """A class as the property to judge by; the base of other concepts.

    Attributes:
        modality: The modality that contains the property.
        name: The modality's name.
        score_name: The name of the score that `score` returns.
        is_modality: Whether the model has the modality; if not, the values are from the data set.
    """

    score_name = "named right"
    is_modality = True

    def __init__(self, modality: Modality):
        self.modality, self.name = modality, modality.name

    def judge(self, run: Run, settings: Settings, image: Modality) -> Judge:
        """Returns a judge of a run's images, trained on its real training split.

        Args:
            run: The run.
            settings: The settings of the evaluation.
            image: The image modality.
        """
        return Judge(kept_classifier(run, image, self.modality), self.said)

    def true(self, x: Mapping[str, Any]) -> np.ndarray:
        """Returns the true values of examples, `[examples, ...]`.

        Args:
            x: The examples' arrays by modality.
        """
        return np.asarray(x[self.name])

    def said(self, generated: np.ndarray) -> np.ndarray:
        """Returns the values of generated examples, `[examples, ...]`: the most probable class.

        Args:
            generated: Expected values (probabilities) or logits, `[examples, ...]`.
        """
        return np.argmax(generated, axis=-1)

    def asked(self, known: np.ndarray, true: np.ndarray) -> np.ndarray:
        """Returns which values count in scores, booleans `[examples]` (attributes: their shape).

        Args:
            known: The modality's mask, `[examples]`, for a group `[examples, member]`.
            true: The true values, `[examples, ...]`.
        """
        return known > 0

    def score(
        self, said: np.ndarray, true: np.ndarray, asked: np.ndarray, draws: int = 1
    ) -> dict[str, Any]:
        """Returns the fraction of examples whose predicted value is the true one.

        Args:
            said: Predicted values, `[examples * draws, ...]`, with those of an example next to each
                other.
            true: True values, `[examples * draws, ...]`.
            asked: Which values count, the result of `asked`.
            draws: Predictions of each example, which are not independent: the standard error is
                over examples.

        Returns:
            `value`, `standard_error` and `examples`.
        """
        right = _all_right(said, true)
        return mean_share(right.reshape(-1, draws)[asked[::draws]].mean(axis=1))

    def members(self, true: np.ndarray, asked: np.ndarray, like: np.ndarray) -> np.ndarray:
        """Returns which example belongs to which class, booleans `[examples, classes]`.

        Args:
            true: True values, `[examples, ...]`.
            asked: Which values count, the result of `asked`.
            like: The values of a data set that decides what the classes are, where a concept has
                no fixed ones, `[any, ...]`.
        """
        classes = np.arange(self.modality.likelihood.num_classes)
        return (true[:, np.newaxis] == classes) & asked[:, np.newaxis]

    def most_frequent(self, true: np.ndarray) -> np.ndarray:
        """Returns the most frequent of some values.

        Args:
            true: The values, `[examples, ...]`.
        """
        values, counts = np.unique(true, axis=0, return_counts=True)
        return values[np.argmax(counts)]

    def warn_if_useless(
        self, said: np.ndarray, true: np.ndarray, asked: np.ndarray, image: Modality, split: str
    ) -> None:
        """Logs a warning if a judge is no better than the most frequent of all answers.

        Let a be the examples that only the judge is right for, and b those that only the most
        frequent answer is right for. The judge has to be ahead by two standard deviations of a
        difference that is random:

            a - b > 2 sqrt(a + b)

        Args:
            said: Its answers to real images, from which it has not learned, `[examples, ...]`.
            true: The right answers, `[examples, ...]`.
            asked: Which of them count, the result of `asked`.
            image: The image modality.
            split: The name of the examples' split.
        """
        said, true = said[asked], true[asked]
        if not len(true):
            return
        right, usual = _all_right(said, true), _all_right(self.most_frequent(true), true)
        if right.sum() - usual.sum() <= 2 * math.sqrt(np.sum(right != usual)):
            logging.warning(
                "the judge of %s by %s is right for %d of %d %s examples, and the most frequent "
                "answer for %d: what it measures in this analysis means nothing",
                *(image.name, self.name, right.sum(), len(true), split, usual.sum()),
            )


class StringConcept(Concept):
    """A sequence of symbols; the score is the fraction of sequences that are entirely right.

    `members` groups equal sequences, or those of one length in data in which an average sequence is
    there less than twice.
    """

    score_name = "read right"

    def true(self, x: Mapping[str, Any]) -> np.ndarray:
        """See `Concept`."""
        return blank_rest(tf.cast(x[self.name], tf.int32)).numpy()

    def judge(self, run: Run, settings: Settings, image: Modality) -> Judge:
        """See `Concept`."""

        def read(logits: np.ndarray) -> np.ndarray:
            return self.said(np.argmax(logits, axis=-1))

        return Judge(kept_classifier(run, image, self.modality), read)

    def said(self, generated: np.ndarray) -> np.ndarray:
        """Returns sequences with padding after their end; see `Concept`."""
        return blank_rest(tf.cast(generated, tf.int32)).numpy()

    def members(self, true: np.ndarray, asked: np.ndarray, like: np.ndarray) -> np.ndarray:
        """See `Concept`."""
        own, number = (true > 0).sum(axis=1), true.shape[1] + 1  # lengths
        places = {tuple(one): place for place, one in enumerate(np.unique(like, axis=0))}
        if 2 * len(places) <= len(like):
            own, number = np.array([places.get(tuple(one), -1) for one in true]), len(places)
        return (own[:, np.newaxis] == np.arange(number)) & asked[:, np.newaxis]


class AttributeConcept(Concept):
    """Binary attributes; the score is balanced accuracy, averaged over attributes.

    Accuracy would be high for any image, because most attributes are rare. In `members` there are
    two classes per attribute, its positives and its negatives, and an example belongs to one class
    of each attribute. The attributes are a group, or a vector of zeros and ones.
    """

    score_name = "balanced accuracy"

    def judge(self, run: Run, settings: Settings, image: Modality) -> Judge:
        """Returns the classifier of the `attributes` analysis; see `Concept`.

        Its thresholds maximise balanced accuracy on the validation split.

        Raises:
            UserError: `settings.baseline_steps` is 0, so there is no classifier.
        """
        if not settings.baseline_steps_of(run):
            raise UserError(
                "--analysis=generation judges images by a classifier of attributes; give "
                "--baseline_steps above 0"
            )
        group, seen = self.modality, run.seen_split("train")
        network = attribute_classifier(run, seen, group, image, settings)
        predictor = network_predictor(network, image, group)
        batches = settings.shown_batches(run, "thresholds", "validation")
        checked = predicted_attributes(predictor, batches, run.model, image, group)
        thresholds = balanced_thresholds(*checked, otherwise=prevalence(seen, group))
        return Judge(network, _above(group, thresholds))

    def true(self, x: Mapping[str, Any]) -> np.ndarray:
        """See `Concept`."""
        return np.asarray(x[self.name]) > 0.5

    def said(self, generated: np.ndarray) -> np.ndarray:
        """See `Concept`."""
        return np.asarray(generated) > 0.5

    def asked(self, known: np.ndarray, true: np.ndarray) -> np.ndarray:
        """See `Concept`; `[examples, attribute]`."""
        return known_members(known, true)

    def score(
        self, said: np.ndarray, true: np.ndarray, asked: np.ndarray, draws: int = 1
    ) -> dict[str, Any]:
        """Returns balanced accuracy; NaN if no attribute has positives and negatives."""
        right = said == true
        parts = [(right, asked & true), (right, asked & ~true)]
        return mean_over_attributes(parts, draws) or share(0, 0)

    def members(self, true: np.ndarray, asked: np.ndarray, like: np.ndarray) -> np.ndarray:
        """See `Concept`."""
        return np.concatenate([asked & true, asked & ~true], axis=1)

    def most_frequent(self, true: np.ndarray) -> np.ndarray:
        """Returns whether more than half of the values of each attribute are positive."""
        return true.mean(axis=0) > 0.5

    def warn_if_useless(self, *_: Any) -> None:
        """Logs nothing: an answer that is always the same has a balanced accuracy of 1/2."""


def _all_right(said: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Returns which examples are entirely right, booleans `[examples]`."""
    return np.reshape(said == true, [len(true), -1]).all(axis=1)


def concepts_of(model: BaseVAE) -> list[Concept]:
    """Returns the concepts of a model's modalities: classes, strings, attributes."""
    found: list[Concept] = []
    for modality in model.modalities:
        if modality.likelihood.is_categorical and not modality.mask_shape:
            found.append(Concept(modality))
        elif modality.likelihood.is_sequence:
            found.append(StringConcept(modality))
    attributes = attribute_groups(model.modalities) + _vectors(model.modalities)
    return found + [AttributeConcept(modality) for modality in attributes]


def _vectors(modalities: Sequence[Modality]) -> list[Modality]:
    """Returns binary vectors that are short enough to be lists of attributes."""
    return [
        m
        for m in modalities
        if m.likelihood.is_binary
        and not m.element_mask  # a score would take what is missing for a no
        and len(m.likelihood.event_shape) == 1
        and m.likelihood.event_shape[0] <= _MOST_ATTRIBUTES
    ]


def _above(group: Modality, thresholds: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from a network's outputs to booleans `[batch, attribute]`."""

    def decide(parameters: np.ndarray) -> np.ndarray:
        probabilities = group.likelihood.expected_value(tf.constant(parameters))
        return probabilities.numpy() > thresholds

    return decide
