"""The judge of `field.py`: one for each modality, for the images of all runs."""

import pathlib
from collections.abc import Mapping
from typing import Any

import field_setups
import numpy as np
import tensorflow as tf

from tf_mvae.data.pipeline import Split, training_batches
from tf_mvae.data.poly_mnist import NAMES
from tf_mvae.distributions.likelihoods import Categorical
from tf_mvae.evaluation.classifier import load_or_train
from tf_mvae.evaluation.coherence_summary import CoherenceSummary
from tf_mvae.evaluation.concepts import Concept
from tf_mvae.evaluation.judges import Judge
from tf_mvae.evaluation.references import FRECHET, Reference
from tf_mvae.experiments.poly_mnist import poly_mnist_modalities
from tf_mvae.modality import Modality

__all__ = ["Judges"]


class Judges:
    """Judges of all modalities.

    Attributes:
        accuracy: Of each on the real test images.
    """

    def __init__(
        self,
        data: pathlib.Path,
        labels: Mapping[str, np.ndarray],
        folder: pathlib.Path,
        examples: int,
    ):
        """Trains the judges.

        Args:
            data: The folder that `field_setups.write_data` wrote.
            labels: The classes of both splits.
            folder: Where judges are kept.
            examples: How many examples each learns from, with repetitions.
        """
        self._labels = labels
        concept = Concept(Modality("label", Categorical(10)))
        self._concept, self._references = concept, {}
        images = {m.name: m for m in poly_mnist_modalities({}, {}, filters=1)}
        for name in NAMES:
            train, test = (_array(data / f"{split}.npz", name) for split in ("train", "test"))
            x = {name: train, "label": labels["train"]}
            split = Split(tf.data.Dataset.from_tensor_slices({"x": x}), len(train))
            size = min(100, len(train))
            batches = training_batches(split, size, -(-examples // len(train)), seed=0)
            path = folder / f"{name}.keras"
            network = load_or_train(path, batches, images[name], concept.modality)
            test = test.astype(np.float32) / 255
            known = np.ones(len(test), bool)
            self._references[name] = Reference(
                Judge(network, concept.said), concept, test, labels["test"], known, test
            )
        self.accuracy = {
            name: reference.of_real()["coherence"]["value"]
            for name, reference in self._references.items()
        }

    def judge(self, path: pathlib.Path) -> dict[str, Any]:
        """Judges what a side has generated.

        Args:
            path: The file: by subset and modality, uint8 `[examples, 28, 28, 3]`.

        Returns:
            `coherence`, `frechet` and `coverage` by number of given modalities (0 is the prior;
            it has no coherence), `joint` coherence, and the judges' own accuracy.
        """
        true = self._labels["test"]
        summary = CoherenceSummary(self._concept, list(self._references.values()))
        for place, names in enumerate(field_setups.subsets()):
            for name, reference in self._references.items():
                if name not in names:
                    summary.add(len(names), true, *_measured(reference, path, place, name, true))
        for name, reference in self._references.items():
            said, found = _measured(reference, path, "prior", name, None)
            summary.add_joint(said, {k: v for k, v in found.items() if k != "coherence"})
        results = summary.results(seed=0)
        rows = {str(n): f"{n} given" for n in range(1, len(NAMES))} | {"0": "from the prior"}
        return {
            "coherence": {
                n: _pair(results, f"{row}: coherence") for n, row in rows.items() if n != "0"
            },
            "joint": _pair(results, "from the prior: joint coherence"),
            "frechet": {n: _pair(results, f"{row}: {FRECHET}") for n, row in rows.items()},
            "coverage": {n: _pair(results, f"{row}: coverage") for n, row in rows.items()},
            "judges": self.accuracy,
        }


def _measured(
    reference: Reference, path: pathlib.Path, place: int | str, name: str, true: np.ndarray | None
) -> tuple[np.ndarray, dict[str, Any]]:
    """Returns what a judge sees and measures; without classes those that it sees are taken."""
    values = _array(path, f"{place}/{name}").astype(np.float32) / 255
    verdict = reference.judge(values)
    classes = verdict.said if true is None else true
    asked = np.ones(len(classes), bool)
    return verdict.said, reference.measure(values, classes, asked, verdict=verdict)


def _array(path: pathlib.Path, name: str) -> np.ndarray:
    with np.load(path, allow_pickle=False) as file:
        return file[name]


def _pair(results: Mapping[str, Any], name: str) -> list[float]:
    return [results[name]["value"], results[name]["standard_error"]]
