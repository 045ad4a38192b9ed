"""Generated examples against real ones, next to scales and to useless models."""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from tf_mvae.evaluation.concepts import Concept
from tf_mvae.evaluation.generation_metrics import (
    GaussianFit,
    Neighbourhoods,
    within_class_variance,
)
from tf_mvae.evaluation.judges import Judge, Verdict
from tf_mvae.evaluation.statistics import block_jackknife, mean_and_error, share

__all__ = ["FRECHET", "Reference", "cells", "useless_images"]

FRECHET = "Frechet distance"
_BLOCKS = 10
_NEIGHBOURS = 5


class Reference:
    """Real examples of one modality as a judge sees them, to measure generated ones against.

    Attributes:
        judge: The judge.
        concept: What it judges.
        said: What it says of the real examples, `[examples, ...]`.
    """

    def __init__(
        self,
        judge: Judge,
        concept: Concept,
        real: np.ndarray,
        true: np.ndarray,
        asked: np.ndarray,
        reconstructed: np.ndarray,
    ):
        """Judges the real examples.

        Args:
            judge: The judge.
            concept: What it judges.
            real: Real examples of the evaluated split, prepared, `[examples, *event_shape]`.
            true: The concept's values of these, `[examples, ...]`.
            asked: Which of them are known, likewise (`Concept.asked`).
            reconstructed: Their reconstructions, `[examples * samples, *event_shape]`, an
                example's side by side.
        """
        self.judge, self.concept = judge, concept
        self._real, self._reconstructed = real, reconstructed
        self._true, self._asked = true, asked
        self.said, self._features = judge(real)
        self._fit = GaussianFit.of(self._features)

    def of_real(self) -> dict[str, Any]:
        """Returns the judge's own score on the real examples."""
        return {"coherence": self.concept.score(self.said, self._true, self._asked)}

    def pair(self, values: np.ndarray, true: np.ndarray, asked: np.ndarray) -> dict[str, Any]:
        """Measures coherence and Frechet distance.

        Args:
            values: Generated examples, `[generated, *event_shape]`.
            true: What they are to show, `[generated, ...]`.
            asked: What of it counts, likewise (`Concept.asked`).

        Returns:
            Results by name: `value`, `standard_error`, `examples` and `unit`. Errors are those of
            the generated examples alone; of distances, by the jackknife over ten blocks.
        """
        return self._pair(self.judge(values), true, asked)

    def measure(
        self,
        values: np.ndarray,
        true: np.ndarray,
        asked: np.ndarray,
        asked_of_real: np.ndarray | None = None,
        verdict: Verdict | None = None,
    ) -> dict[str, Any]:
        """Measures everything: `pair`, variance within classes, density and coverage.

        Args:
            values: See `pair`.
            true: See `pair`.
            asked: See `pair`.
            asked_of_real: What counts of the real examples that variances are compared with,
                `[examples, ...]`; all that is known where None.
            verdict: What the judge says of `values`, if it has been asked.
        """
        verdict = self.judge(values) if verdict is None else verdict
        inside, covered = self._neighbourhoods.compare(verdict.features)
        asked_of_real = self._asked if asked_of_real is None else asked_of_real
        density, error = mean_and_error(inside)
        return {
            **self._pair(verdict, true, asked),
            **self._variances(values, true, asked, asked_of_real),
            "density": _result(density, error, len(values)),
            "coverage": {**share(covered.sum(), len(covered)), "unit": "%"},
        }

    @functools.cached_property
    def _neighbourhoods(self) -> Neighbourhoods:
        return Neighbourhoods.of(self._features, min(_NEIGHBOURS, len(self._features) - 1))

    def _pair(self, verdict: Any, true: np.ndarray, asked: np.ndarray) -> dict[str, Any]:
        features, number = verdict.features, len(verdict.features)
        distance = self._fit.frechet_distance(features)

        def of_some(rows: np.ndarray) -> float:
            return self._fit.frechet_distance(features[rows])

        error = block_jackknife(of_some, number, _BLOCKS)
        return {
            "coherence": self.concept.score(verdict.said, true, asked),
            FRECHET: _result(distance, error, number),
        }

    def _variances(
        self, values: np.ndarray, true: np.ndarray, asked: np.ndarray, asked_of_real: np.ndarray
    ) -> dict[str, Any]:
        """Returns the variance within classes over that of real and reconstructed examples."""
        members = self.concept.members(true, asked)
        own = within_class_variance(values, members)

        def of_some(rows: np.ndarray) -> float:
            return within_class_variance(values[rows], members[rows])

        error = block_jackknife(of_some, len(values), _BLOCKS)
        real_members, found = self.concept.members(self._true, asked_of_real), {}
        for name, examples in (("real", self._real), ("reconstructions", self._reconstructed)):
            repeated = np.repeat(real_members, len(examples) // len(self._real), axis=0)
            scale = within_class_variance(examples, repeated)
            ratios = (own / scale, error / scale) if scale else (float("nan"), float("nan"))
            found[f"variance / {name}"] = _result(*ratios, len(values))
        return found


def useless_images(
    concept: Concept,
    true: np.ndarray,
    asked: np.ndarray,
    training: np.ndarray,
    training_true: np.ndarray,
    training_asked: np.ndarray,
    seed: int,
) -> dict[str, np.ndarray]:
    """Returns what models that have learned nothing generate for each example.

    Args:
        concept: What is judged.
        true: What each example is to show, `[examples, ...]`.
        asked: What of it counts, likewise.
        training: Real training examples, prepared, `[training, *event_shape]`.
        training_true: The concept's values of these.
        training_asked: What of these is known.
        seed: Of what is random.

    Returns:
        By name, `[examples, *event_shape]`: the mean of the example's class in training (of
        several classes, the mean of their means), a random training example of any class, and
        independent uniform noise in [0, 1].
    """
    rng = np.random.default_rng([seed, 45])
    flat = training.reshape(len(training), -1)
    classes = concept.members(training_true, training_asked).astype(flat.dtype)
    counts, own = classes.sum(axis=0), concept.members(true, asked).astype(flat.dtype)
    means = np.where(
        counts[:, np.newaxis] > 0,
        classes.T @ flat / np.maximum(counts, 1)[:, np.newaxis],
        flat.mean(axis=0),
    )
    belongs = own.sum(axis=1, keepdims=True)
    mean = np.where(belongs > 0, own @ means / np.maximum(belongs, 1), flat.mean(axis=0))
    shape = (len(true), *training.shape[1:])
    return {
        "class mean": mean.reshape(shape),
        "random training image": training[rng.integers(len(training), size=len(true))],
        "noise": rng.random(shape, np.float32),
    }


def cells(
    target: str, row: str, results: Mapping[str, Any], titles: Mapping[str, str]
) -> dict[str, Any]:
    """Names results for a report, and gives each its cell in the target's table.

    Args:
        target: What is generated.
        row: From what, as it follows the target: ` | label`, ` from the prior`, `, noise`.
        results: Results by name.
        titles: Columns' titles by the results' names, where these differ.

    Returns:
        Results by `TARGETROW: NAME`, with their `cell` (`tf_mvae.evaluation.report.table`).
    """
    words = row.replace(" | ", "given ").removeprefix(", ").strip()
    return {
        f"{target}{row}: {name}": {**result, "cell": [target, words, titles.get(name, name)]}
        for name, result in results.items()
    }


def _result(value: float, error: float, examples: int) -> dict[str, Any]:
    return {"value": value, "standard_error": error, "examples": examples, "unit": ""}
