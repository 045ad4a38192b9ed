"""Coherence by number of given modalities, by class and joint, from known predictions."""

import types

import numpy as np
import pytest

from tf_mvae import Modality, likelihoods
from tf_mvae.evaluation.coherence_summary import CoherenceSummary
from tf_mvae.evaluation.concepts import Concept
from tf_mvae.evaluation.references import FRECHET
from tf_mvae.evaluation.statistics import share

TRUE = np.array([0, 0, 1, 1, 2, 2, 2, 2])
WRONG = (TRUE + 1) % 3


def found(said, distance):
    parts = {"coherence": share((said == TRUE).sum(), len(TRUE)) | {"unit": "%"}}
    parts[FRECHET] = {"value": distance, "standard_error": 1.0, "examples": 8, "unit": ""}
    return parts | {"density": parts[FRECHET]}


def make(real):
    concept = Concept(Modality("label", likelihoods.Categorical(3, ("a", "b", "c"))))
    return CoherenceSummary(concept, [types.SimpleNamespace(said=said) for said in real])


def test_means_are_over_subsets_and_images():
    summary = make([TRUE])
    half = np.where(np.arange(8) < 2, TRUE, WRONG)  # class a is right, the others are not
    for number, said, distance in ((1, TRUE, 4.0), (1, half, 8.0), (2, WRONG, 5.0)):
        summary.add(number, TRUE, said, found(said, distance))
    results = summary.results(0)
    values = {name: result["value"] for name, result in results.items()}
    assert values == {
        "1 given: coherence": pytest.approx((1 + 0.25) / 2),
        f"1 given: {FRECHET}": 6.0,
        "2 given: coherence": 0.0,
        f"2 given: {FRECHET}": 5.0,
        "1 given, a: coherence": 1.0,
        "1 given, b: coherence": 0.5,
        "1 given, c: coherence": 0.5,
        "2 given, a: coherence": 0.0,
        "2 given, b: coherence": 0.0,
        "2 given, c: coherence": 0.0,
    }
    assert results["1 given, c: coherence"]["examples"] == 4
    assert results["1 given: coherence"]["cell"] == [
        "label by number given",
        "1 given",
        "named right",
    ]


def test_draws_for_one_example_are_one_observation():
    """Their mean is; a class has as many observations as examples."""
    summary, said = make([TRUE]), np.repeat(TRUE, 3)
    said[::3] = np.repeat(WRONG, 3)[::3]  # one draw in three of every example
    parts = found(TRUE, 1.0)
    summary.add(1, np.repeat(TRUE, 3), said, parts, draws=3)
    result = summary.results(0)["1 given, c: coherence"]
    assert result["value"] == pytest.approx(2 / 3) and result["examples"] == 4


def test_joint_coherence_asks_all_judges():
    rng = np.random.default_rng(0)
    real = rng.integers(0, 3, 3000)
    summary = make([real, real, real])
    for said in (TRUE, TRUE, np.where(np.arange(8) < 6, TRUE, WRONG)):
        summary.add_joint(said, {FRECHET: found(said, 2.0)[FRECHET]})
    results = summary.results(0)
    assert results["from the prior: joint coherence"]["value"] == 6 / 8
    # Three independent images of three classes agree in one of nine cases.
    useless = results["useless: real images of random tuples: joint coherence"]["value"]
    assert useless == pytest.approx(1 / 9, abs=0.03)
    assert "from the prior: coherence" not in results
