"""Classes of a data set that are not a modality of the model, such as the digit of PolyMNIST."""

import tensorflow as tf

from tf_mvae.data.pipeline import Split
from tf_mvae.distributions.likelihoods import Categorical
from tf_mvae.evaluation.classifier import labelled_split
from tf_mvae.evaluation.concepts import Concept
from tf_mvae.evaluation.run import Run
from tf_mvae.modality import Modality

__all__ = ["OutsideClass", "outside_class"]

_NAME = "label"


class OutsideClass(Concept):
    """A class that the run's experiment has for each example, but the model as no modality."""

    is_modality = False

    def __init__(self, run: Run):
        """Takes the classes' names from a run's experiment.

        Args:
            run: A run whose experiment has `labels`.
        """
        names = run.experiment.class_names
        super().__init__(Modality(_NAME, Categorical(len(names), names)))
        self._run = run

    def add_to_split(self, name: str) -> Split:
        """Returns a split's examples with the class added to their data, under `self.name`.

        Args:
            name: The split's name.
        """
        return labelled_split(self._run, name, self.modality)

    def add_to_batches(
        self, batches: tf.data.Dataset, split: str, batch_size: int
    ) -> tf.data.Dataset:
        """Returns batches with the class added to their data, under `self.name`.

        Args:
            batches: Batches of the split's first examples, in their order.
            split: The split's name.
            batch_size: Examples per batch; the last may be smaller.
        """
        labels = tf.constant(self._run.labels(split))

        def add(index, batch):
            start = index * batch_size
            number = tf.shape(next(iter(batch["x"].values())), tf.int64)[0]
            return {**batch, "x": {**batch["x"], self.name: labels[start : start + number]}}

        return batches.enumerate().map(add)


def outside_class(run: Run) -> OutsideClass | None:
    """Returns the class of a run's data set that is not a modality, or None."""
    return OutsideClass(run) if run.experiment.labels is not None else None
