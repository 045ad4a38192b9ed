"""Baselines and comparisons with real examples, of which the true answer is known."""

import numpy as np
import pytest

from tests.evaluation import attributes_test
from tf_mvae import Modality, likelihoods
from tf_mvae.evaluation.concepts import AttributeConcept, Concept
from tf_mvae.evaluation.judges import Verdict
from tf_mvae.evaluation.references import FRECHET, Reference, useless_images

CONCEPT = Concept(Modality("label", likelihoods.Categorical(3)))


class OfFeatures:
    """A judge whose features are the examples, and that names class 0."""

    def __call__(self, values):
        return Verdict(np.zeros(len(values), int), values)


def reference(number, seed=0):
    real = np.random.default_rng(seed).normal(size=[number, 4]).astype(np.float32)
    zeros, asked = np.zeros(number, int), np.ones(number, bool)
    return Reference(OfFeatures(), CONCEPT, real, zeros, asked, real)


def test_distances_and_coverage_do_not_depend_on_the_number_of_draws():
    """Of more draws an example, the distance would be smaller and the coverage larger."""
    rng = np.random.default_rng(1)
    found = {}
    for draws in (1, 4):
        number = 200 * draws
        parts = []
        for seed in range(8):
            values = rng.normal(size=[number, 4]).astype(np.float32)
            truth = np.zeros(number, int), np.ones(number, bool)
            parts.append(reference(200, seed).measure(values, *truth, draws))
        found[draws] = {k: np.mean([p[k]["value"] for p in parts]) for k in (FRECHET, "coverage")}
        assert parts[0][FRECHET]["examples"] == 200
        assert parts[0]["coherence"]["examples"] == 200
    assert found[4][FRECHET] == pytest.approx(found[1][FRECHET], rel=0.25)
    assert found[4]["coverage"] == pytest.approx(found[1]["coverage"], abs=0.01)


def test_every_example_has_one_of_its_draws_compared():
    """Each example's draws stand at a place of their own."""
    places = np.repeat(np.arange(50.0), 3)[:, np.newaxis] * np.ones(4)
    rows = reference(50)._comparable(Verdict(np.zeros(150, int), places))
    np.testing.assert_array_equal(rows[:, 0], np.arange(50))


def test_features_are_chosen_once_for_all_measures(monkeypatch):
    one, calls = reference(50), []
    monkeypatch.setattr(one, "_comparable", lambda verdict: calls.append(1) or verdict.features)
    values = np.random.default_rng(1).normal(size=[50, 4]).astype(np.float32)
    one.measure(values, np.zeros(50, int), np.ones(50, bool))
    assert len(calls) == 1


def test_the_mean_image_of_classes_is_theirs():
    rng = np.random.default_rng(0)
    training, classes = rng.random([30, 2, 2, 1]).astype(np.float32), np.arange(30) % 2
    asked = np.ones(30, bool)
    wanted = np.array([1, 0, 2])  # no training example has class 2
    images = useless_images(CONCEPT, wanted, asked[:3], training, classes, asked, 0)["class mean"]
    for image, of in zip(images, (training[1::2], training[::2], training), strict=True):
        np.testing.assert_allclose(image, of.mean(0), rtol=1e-5)


def test_the_mean_image_of_attributes_is_their_regression():
    """Against pixels that are a sum of an effect of each attribute."""
    concept = AttributeConcept(attributes_test.make_model().modalities[1])
    rng = np.random.default_rng(0)
    effects, has = rng.normal(size=[3, 6]), rng.random([400, 3]) < [0.1, 0.5, 0.8]
    images = (has @ effects).reshape(400, 3, 2).astype(np.float32)
    truth = has, np.ones_like(has)
    found = useless_images(concept, has[:9], truth[1][:9], images, *truth, 0)["class mean"]
    np.testing.assert_allclose(found, images[:9], atol=1e-4)
