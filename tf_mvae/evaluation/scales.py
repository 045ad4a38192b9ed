"""Examples to compare generated ones with: real ones, reconstructions, baselines."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tf_mvae.evaluation.concepts import Concept
from tf_mvae.evaluation.generated_examples import (
    Examples,
    real_examples,
    reconstruct,
    training_examples,
)
from tf_mvae.evaluation.outside_classes import OutsideClass
from tf_mvae.evaluation.references import Reference, useless_images
from tf_mvae.evaluation.run import Run
from tf_mvae.evaluation.settings import Settings
from tf_mvae.modality import Modality

__all__ = ["Known", "Shown", "truth"]


class Shown(NamedTuple):
    """Images with their true values of a concept.

    Attributes:
        values: The images, `[images, *event_shape]`.
        true: The concept's values, `[images, ...]`.
        asked: Which values count (`Concept.asked`).
        draws: How many images, next to each other, belong to one example.
    """

    values: np.ndarray
    true: np.ndarray
    asked: np.ndarray
    draws: int = 1


class Known(NamedTuple):
    """The real examples of a run.

    Attributes:
        test: Examples of the evaluated split.
        training: Random examples of the training split.
        reconstructed: Reconstructions of the first examples of `test`, by modality,
            `[examples * num_samples, *event_shape]`, with those of an example next to each other.
        num_samples: The number of reconstructions per example.
    """

    test: Examples
    training: Examples
    reconstructed: dict[str, np.ndarray]
    num_samples: int

    @classmethod
    def of(
        cls,
        run: Run,
        settings: Settings,
        names: Sequence[str],
        most: int,
        most_training: int,
        most_reconstructed: int | None = None,
        outside: OutsideClass | None = None,
    ) -> "Known":
        """Reads and reconstructs the examples of a run.

        Args:
            run: The run.
            settings: The settings of the evaluation, with `num_samples` reconstructions per
                example.
            names: The modalities to reconstruct.
            most: The largest number of examples of the evaluated split.
            most_training: The largest number of examples of the training split.
            most_reconstructed: The number of evaluated examples to reconstruct; default: all.
            outside: A class that is not a modality; see `real_examples`.

        Raises:
            UserError: Fewer than ten examples have all modalities.
        """
        test = real_examples(run, settings, most, outside)
        training = training_examples(run, most_training, settings.seed, outside)
        some = test if most_reconstructed is None else test.first(most_reconstructed)
        reconstructed = reconstruct(run.model, some, names, settings)
        return cls(test, training, reconstructed, settings.num_samples)

    def reference(
        self, run: Run, settings: Settings, image: Modality, concept: Concept
    ) -> Reference:
        """Returns the real examples of an image modality, judged by a concept.

        If the judge of a class or a sequence is no better than the most frequent answer, a warning
        is logged.

        Args:
            run: The run.
            settings: The settings of the evaluation.
            image: The image modality.
            concept: The property that images are judged by.
        """
        judge, (true, asked) = concept.judge(run, settings, image), truth(concept, self.test)
        real, reconstructed = self.test.prepared(image), self.reconstructed[image.name]
        found = Reference(judge, concept, real, true, asked, reconstructed)
        concept.warn_if_useless(found.said, true, asked, image, settings.split)
        return found

    def shown(self, image: Modality, concept: Concept, most_training: int) -> dict[str, Shown]:
        """Returns reconstructions and real training examples, by name.

        Args:
            image: The image modality.
            concept: The property that images are judged by.
            most_training: The largest number of training examples.
        """
        reconstructed = self.reconstructed[image.name]
        wanted = (part[: len(reconstructed)] for part in self.repeated(concept))
        training = (self.training.prepared(image), *truth(concept, self.training))
        return {
            "reconstructions": Shown(reconstructed, *wanted, self.num_samples),
            "real training examples": Shown(*(part[:most_training] for part in training)),
        }

    def useless(
        self,
        image: Modality,
        concept: Concept,
        true: np.ndarray,
        asked: np.ndarray,
        seed: int,
        draws: int = 1,
    ) -> dict[str, Shown]:
        """Returns images of baselines that have learned nothing, by name; see `useless_images`.

        Args:
            image: The image modality.
            concept: The property that images are judged by.
            true: Its true values, `[images, ...]`.
            asked: Which values count, `[images, ...]`.
            seed: The random seed.
            draws: How many images, next to each other, belong to one example.
        """
        training = (self.training.prepared(image), *truth(concept, self.training))
        drawn = useless_images(concept, true, asked, *training, seed)
        return {
            f"useless: {name}": Shown(values, true, asked, draws) for name, values in drawn.items()
        }

    def repeated(self, concept: Concept) -> tuple[np.ndarray, np.ndarray]:
        """Returns `truth` of the evaluated examples, repeated for each reconstruction."""
        true, asked = truth(concept, self.test)
        return np.repeat(true, self.num_samples, axis=0), np.repeat(asked, self.num_samples, axis=0)


def truth(concept: Concept, examples: Examples) -> tuple[np.ndarray, np.ndarray]:
    """Returns a concept's true values of examples, and which of them count."""
    true = concept.true(examples.x)
    return true, concept.asked(examples.mask[concept.name], true)
