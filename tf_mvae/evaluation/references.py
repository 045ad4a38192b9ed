"""Comparison of generated examples with real ones, and baselines that have learned nothing."""

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
_STREAM = 53


class Reference:
    """Real examples of one modality, to compare generated ones with.

    Attributes:
        judge: The judge.
        concept: The property that it predicts.
        said: Its predictions for the real examples, `[examples, ...]`.
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
            concept: The property that it predicts.
            real: Real examples of the evaluated split, prepared, `[examples, *event_shape]`.
            true: The concept's true values of these, `[examples, ...]`.
            asked: Which values count (`Concept.asked`).
            reconstructed: Reconstructions, `[examples * samples, *event_shape]`, with those of an
                example next to each other.
        """
        self.judge, self.concept = judge, concept
        self._real, self._reconstructed = real, reconstructed
        self._true, self._asked = true, asked
        self.said, self._features = judge(real)
        self._fit = GaussianFit.of(self._features)

    def of_real(self) -> dict[str, Any]:
        """Returns the judge's own score on the real examples."""
        return {"coherence": self.concept.score(self.said, self._true, self._asked)}

    def pair(
        self, values: np.ndarray, true: np.ndarray, asked: np.ndarray, draws: int = 1
    ) -> dict[str, Any]:
        """Measures coherence and Frechet distance.

        Distances, density and coverage depend on the number of examples: they are measured of no
        more generated examples than there are real ones.

        Args:
            values: Generated examples, `[generated, *event_shape]`.
            true: The values that they were generated from, `[generated, ...]`.
            asked: Which values count (`Concept.asked`).
            draws: How many of `values`, next to each other, belong to one example.

        Returns:
            Results by name: `value`, `standard_error`, `examples` and `unit`. Standard errors are
            from the spread of the generated examples only; for distances by a jackknife over ten
            blocks.
        """
        verdict = self.judge(values)
        return self._pair(verdict, self._comparable(verdict), true, asked, draws)

    def measure(
        self,
        values: np.ndarray,
        true: np.ndarray,
        asked: np.ndarray,
        draws: int = 1,
        asked_of_real: np.ndarray | None = None,
        verdict: Verdict | None = None,
    ) -> dict[str, Any]:
        """Measures coherence, Frechet distance, variance within classes, density and coverage.

        Args:
            values: See `pair`.
            true: See `pair`.
            asked: See `pair`.
            draws: See `pair`.
            asked_of_real: Which values of the real examples count, `[examples, ...]`, when
                variances are compared; default: all known ones.
            verdict: The judge's result for `values`, if it is known already.

        Returns:
            Results by name; see `pair`.
        """
        verdict = self.judge(values) if verdict is None else verdict
        features = self._comparable(verdict)
        inside, covered = self._neighbourhoods.compare(features)
        asked_of_real = self._asked if asked_of_real is None else asked_of_real
        density, error = mean_and_error(inside)
        return {
            **self._pair(verdict, features, true, asked, draws),
            **self._variances(values, true, asked, asked_of_real),
            "density": _result(density, error, len(inside)),
            "coverage": {**share(covered.sum(), len(covered)), "unit": "%"},
        }

    @functools.cached_property
    def _neighbourhoods(self) -> Neighbourhoods:
        return Neighbourhoods.of(self._features, min(_NEIGHBOURS, len(self._features) - 1))

    def _comparable(self, verdict: Verdict) -> np.ndarray:
        """Returns features of as many generated as real examples, or of all if these are fewer.

        One is drawn of every block of neighbours, which may be draws for one example.
        """
        number = len(verdict.features)
        ends = np.linspace(0, number, min(number, len(self._features)) + 1).astype(int)
        return verdict.features[np.random.default_rng(_STREAM).integers(ends[:-1], ends[1:])]

    def _pair(
        self,
        verdict: Verdict,
        features: np.ndarray,
        true: np.ndarray,
        asked: np.ndarray,
        draws: int,
    ) -> dict[str, Any]:
        """Returns coherence and the Frechet distance of comparable features; see `pair`."""
        distance = self._fit.frechet_distance(features)

        def of_some(rows: np.ndarray) -> float:
            return self._fit.frechet_distance(features[rows])

        error = block_jackknife(of_some, len(features), _BLOCKS)
        return {
            "coherence": self.concept.score(verdict.said, true, asked, draws),
            FRECHET: _result(distance, error, len(features)),
        }

    def _variances(
        self, values: np.ndarray, true: np.ndarray, asked: np.ndarray, asked_of_real: np.ndarray
    ) -> dict[str, Any]:
        """Returns the variance within classes over that of real and reconstructed examples."""
        members = self.concept.members(true, asked, self._true)
        own = within_class_variance(values, members)

        def of_some(rows: np.ndarray) -> float:
            return within_class_variance(values[rows], members[rows])

        error = block_jackknife(of_some, len(values), _BLOCKS)
        real_members = self.concept.members(self._true, asked_of_real, self._true)
        found = {}
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
    """Returns images of baselines that have learned nothing, for each example.

    Args:
        concept: The property that is judged.
        true: The true value of each example, `[examples, ...]`.
        asked: Which values count, `[examples, ...]`.
        training: Real training examples, prepared, `[training, *event_shape]`.
        training_true: The concept's values of these.
        training_asked: Which of these values are known.
        seed: The random seed.

    Returns:
        Images `[examples, *event_shape]` by name: the mean training image of the example's class
        (of several classes, such as attributes, the linear regression of pixels on them), a random
        training image of any class, and independent uniform noise in [0, 1].
    """
    rng = np.random.default_rng([seed, 45])
    mean = _expected_images(
        concept.members(training_true, training_asked, training_true),
        training.reshape(len(training), -1),
        concept.members(true, asked, training_true),
    )
    shape = (len(true), *training.shape[1:])
    return {
        "class mean": mean.reshape(shape),
        "random training image": training[rng.integers(len(training), size=len(true))],
        "noise": rng.random(shape, np.float32),
    }


def _expected_images(members: np.ndarray, images: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Regresses training images on their classes, and returns the images of wanted classes.

    With one class an example these are the classes' means. A class without an example, and an
    example without a class, add nothing to the mean of all images.

    Args:
        members: Which training example belongs to which class, `[training, class]`.
        images: `[training, pixel]`.
        wanted: Which example belongs to which class, `[examples, class]`.

    Returns:
        `[examples, pixel]`.
    """
    inside = members.any(axis=1)
    classes, mean = members[inside].astype(np.float64), images.mean(axis=0)
    effects = np.linalg.pinv(classes.T @ classes) @ (classes.T @ (images[inside] - mean))
    return (mean + wanted @ effects).astype(images.dtype)


def cells(
    target: str, row: str, results: Mapping[str, Any], titles: Mapping[str, str]
) -> dict[str, Any]:
    """Adds a table cell to each result, and returns the results by their names in a report.

    Args:
        target: The generated modality.
        row: The row's name, as it follows the target: ` | label`, ` from the prior`, `, noise`.
        results: Results by name.
        titles: Columns' titles by the results' names, if they differ.

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
