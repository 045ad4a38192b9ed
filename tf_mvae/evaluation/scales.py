"""What generated examples are compared with: real ones, reconstructions, useless models."""

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
from tf_mvae.evaluation.references import Reference, useless_images
from tf_mvae.evaluation.run import Run
from tf_mvae.evaluation.settings import Settings
from tf_mvae.modality import Modality

__all__ = ["Known", "Shown", "truth"]


class Shown(NamedTuple):
    """Images, and what they are to show.

    Attributes:
        values: The images, `[images, *event_shape]`.
        true: A concept's values, `[images, ...]`.
        asked: What of these counts, likewise (`Concept.asked`).
    """

    values: np.ndarray
    true: np.ndarray
    asked: np.ndarray


class Known(NamedTuple):
    """The real examples of a run.

    Attributes:
        test: Of the evaluated split.
        training: Random ones of the training split.
        reconstructed: Reconstructions of the first of `test`, by name,
            `[examples * num_samples, *event_shape]`, an example's side by side.
        num_samples: Reconstructions of an example.
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
    ) -> "Known":
        """Reads and reconstructs the examples of a run.

        Args:
            run: The run.
            settings: How to evaluate; `num_samples` reconstructions of each example.
            names: The modalities that are reconstructed.
            most: How many examples of the evaluated split at most.
            most_training: How many of the training split.
            most_reconstructed: How many of the former are reconstructed; default: all.

        Raises:
            UserError: Fewer than ten have all modalities.
        """
        test = real_examples(run, settings, most)
        training = training_examples(run, most_training, settings.seed)
        some = test if most_reconstructed is None else test.first(most_reconstructed)
        reconstructed = reconstruct(run.model, some, names, settings)
        return cls(test, training, reconstructed, settings.num_samples)

    def reference(
        self, run: Run, settings: Settings, image: Modality, concept: Concept
    ) -> Reference:
        """Returns the real examples of an image as the judge of a concept sees them."""
        return Reference(
            concept.judge(run, settings, image),
            concept,
            self.test.prepared(image),
            *truth(concept, self.test),
            self.reconstructed[image.name],
        )

    def shown(self, image: Modality, concept: Concept, most_training: int) -> dict[str, Shown]:
        """Returns reconstructions and real training examples, by name.

        Args:
            image: The images.
            concept: What they show.
            most_training: How many training examples at most.
        """
        reconstructed = self.reconstructed[image.name]
        wanted = (part[: len(reconstructed)] for part in self.repeated(concept))
        training = (self.training.prepared(image), *truth(concept, self.training))
        return {
            "reconstructions": Shown(reconstructed, *wanted),
            "real training examples": Shown(*(part[:most_training] for part in training)),
        }

    def useless(
        self, image: Modality, concept: Concept, true: np.ndarray, asked: np.ndarray, seed: int
    ) -> dict[str, Shown]:
        """Returns what models that have learned nothing generate, by name; see `useless_images`.

        Args:
            image: The images.
            concept: What they are to show.
            true: Its values, `[images, ...]`.
            asked: What of these counts, likewise.
            seed: Of what is random.
        """
        training = (self.training.prepared(image), *truth(concept, self.training))
        drawn = useless_images(concept, true, asked, *training, seed)
        return {f"useless: {name}": Shown(values, true, asked) for name, values in drawn.items()}

    def repeated(self, concept: Concept) -> tuple[np.ndarray, np.ndarray]:
        """Returns `truth` of the evaluated examples, once for each reconstruction."""
        true, asked = truth(concept, self.test)
        return np.repeat(true, self.num_samples, axis=0), np.repeat(asked, self.num_samples, axis=0)


def truth(concept: Concept, examples: Examples) -> tuple[np.ndarray, np.ndarray]:
    """Returns a concept's values of examples, and what counts of them."""
    true = concept.true(examples.x)
    return true, concept.asked(examples.mask[concept.name], true)
