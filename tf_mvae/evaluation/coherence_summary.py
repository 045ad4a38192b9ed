"""Coherence by the number of given modalities, by class, and among all generated modalities."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_mvae.evaluation.concepts import Concept
from tf_mvae.evaluation.references import FRECHET, Reference
from tf_mvae.evaluation.statistics import mean_share, share

__all__ = ["CoherenceSummary"]

_AVERAGED = ("coherence", FRECHET, "coverage")


class CoherenceSummary:
    """Averages results over subsets, for models whose images all show one class.

    A result for n given modalities is the mean over all subsets of n modalities and over all images
    that are generated from them. All these are measured on the same examples, so the reported
    standard error is the mean of the standard errors, which is an upper bound.

    Joint coherence is the fraction of samples from the prior whose generated images are all
    assigned to the same class by their judges.
    """

    def __init__(self, concept: Concept, references: Sequence[Reference]):
        """Makes an empty summary.

        Args:
            concept: The class.
            references: The real examples of each image modality.
        """
        self._concept, self._references = concept, references
        self._found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        self._right: dict[str, list[np.ndarray]] = defaultdict(list)
        self._true: dict[str, np.ndarray] = {}
        self._said: list[np.ndarray] = []

    def add(
        self,
        number: int,
        true: np.ndarray,
        said: np.ndarray,
        found: Mapping[str, Any],
        draws: int = 1,
    ) -> None:
        """Adds the results of one image modality, generated from one subset.

        Args:
            number: The number of given modalities.
            true: The true classes, `[generated]`.
            said: The classes that the judge assigns, `[generated]`.
            found: The result of `Reference.measure`.
            draws: How many generated images, next to each other, belong to one example.
        """
        row = f"{number} given"
        self._found[row].append(found)
        self._right[row].append((said == true).reshape(-1, draws).mean(axis=1))
        self._true[row] = true[::draws]

    def add_joint(self, said: np.ndarray, found: Mapping[str, Any]) -> None:
        """Adds the results of one image modality, generated from the prior.

        Args:
            said: The classes that its judge assigns, `[samples]`.
            found: The result of `Reference.measure`.
        """
        self._found["from the prior"].append(found)
        self._said.append(said)

    def results(self, seed: int) -> dict[str, Any]:
        """Returns the averages, each with its table cell, and the score of independent real images.

        Args:
            seed: The seed that shuffles the real images.
        """
        table, results = f"{self._concept.name} by number given", {}
        for row, found in self._found.items():
            for name in _AVERAGED:
                parts = [one[name] for one in found if name in one]
                if parts:
                    title = self._concept.score_name if name == "coherence" else name
                    results[f"{row}: {name}"] = _mean(parts) | {"cell": [table, row, title]}
        classes = f"{self._concept.name} by class"
        for row, right in self._right.items():
            rates = np.mean(right, axis=0)  # [examples], over subsets and images
            for value, name in enumerate(self._concept.modality.likelihood.class_names):
                members = self._true[row] == value
                found = mean_share(rates[members])
                results[f"{row}, {name}: coherence"] = found | {"cell": [classes, name, row]}
        if self._said:
            rng = np.random.default_rng([seed, 52])
            real = [rng.permutation(reference.said) for reference in self._references]
            for row, said in (
                ("from the prior", self._said),
                ("useless: real images of random tuples", real),
            ):
                agree = (np.array(said) == said[0]).all(axis=0)
                found = share(agree.sum(), len(agree))
                results[f"{row}: joint coherence"] = found | {"cell": [table, row, "all agree"]}
        return results


def _mean(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the mean of results; its error is at most the mean of theirs."""
    means = {name: float(np.mean([p[name] for p in parts])) for name in ("value", "standard_error")}
    return {**parts[0], **means}
