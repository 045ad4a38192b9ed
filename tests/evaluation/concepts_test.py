"""Concepts: classes, strings and attributes, and their scores."""

import numpy as np
import pytest

from tests import tiny
from tests.evaluation import attributes_test
from tf_mvae import MVAE, Modality, likelihoods
from tf_mvae.evaluation.concepts import AttributeConcept, Concept, StringConcept, concepts_of
from tf_mvae.evaluation.statistics import share
from tf_mvae.layers import RecurrentDecoder


def test_a_model_is_judged_by_its_classes_and_its_attributes():
    (label,) = concepts_of(tiny.make_model())
    assert (type(label), label.name) == (Concept, "label")
    (attributes,) = concepts_of(attributes_test.make_model())
    assert (type(attributes), attributes.name) == (AttributeConcept, "attributes")
    vector = Modality("traits", likelihoods.Bernoulli([3]))
    (attributes,) = concepts_of(MVAE([tiny.make_modalities()[0], vector], latent_dim=2))
    assert (type(attributes), attributes.name) == (AttributeConcept, "traits")
    gaps = Modality("gaps", likelihoods.Bernoulli([3]), element_mask=True)
    assert not concepts_of(MVAE([tiny.make_modalities()[0], gaps], latent_dim=2))
    true = attributes.true({"traits": [[0, 1, 1], [1, 0, 0]]})
    asked = attributes.asked(np.array([1.0, 0.0]), true)
    np.testing.assert_array_equal(asked, [[True] * 3, [False] * 3])


def test_classes_are_right_or_wrong():
    concept = Concept(tiny.make_modalities()[1])
    true, asked = np.array([0, 1, 2, 4, 4]), np.array([1, 1, 1, 1, 0]) > 0
    said = concept.said(np.eye(5)[[0, 2, 2, 4, 4]])
    assert concept.score(said, true, asked) == pytest.approx(share(3, 4))
    twice = [np.repeat(part, 2, 0) for part in (said, true, asked)]
    assert concept.score(*twice, draws=2) == pytest.approx(share(3, 4))  # no more examples
    members = concept.members(true, asked, true)
    np.testing.assert_array_equal(members.sum(0), [1, 1, 1, 0, 1])
    assert concept.most_frequent(true) == 4


def test_strings_are_right_from_start_to_end_and_a_class_is_a_length():
    likelihood = likelihoods.TokenSequence(8, 4, RecurrentDecoder(8, 4, 4))
    concept = StringConcept(Modality("text", likelihood))
    true = concept.true({"text": np.array([[3, 4, 2, 7], [5, 2, 0, 0], [6, 2, 0, 0]])})
    np.testing.assert_array_equal(true[0], [3, 4, 2, 0])  # nothing behind the end
    said = concept.said(np.array([[3, 4, 2, 5], [5, 6, 2, 0], [6, 2, 0, 0]]))
    asked = np.ones(3, bool)
    assert concept.score(said, true, asked) == pytest.approx(share(2, 3))
    np.testing.assert_array_equal(concept.members(true, asked, true).sum(0), [0, 0, 2, 1, 0])


def test_strings_that_repeat_are_classes():
    likelihood = likelihoods.TokenSequence(8, 4, RecurrentDecoder(8, 4, 4))
    concept = StringConcept(Modality("text", likelihood))
    like = np.array([[3, 2, 0], [3, 2, 0], [4, 2, 0], [4, 2, 0], [4, 2, 0]])
    true = np.array([[4, 2, 0], [3, 2, 0], [5, 2, 0]])  # the last one is none of them
    members = concept.members(true, np.ones(3, bool), like)
    np.testing.assert_array_equal(members, [[0, 1], [1, 0], [0, 0]])


def test_attributes_that_are_asked_for_count_alike_whether_rare_or_not():
    concept = AttributeConcept(attributes_test.make_model().modalities[1])
    rng = np.random.default_rng(0)
    true = rng.random([3000, 3]) < [0.05, 0.5, 0.95]
    asked = rng.random([3000, 3]) < 0.4
    expected = []
    said = np.where(rng.random([3000, 3]) < 0.3, ~true, true)
    for column in range(3):
        counts, right = asked[:, column], (said == true)[:, column]
        there = true[:, column]
        expected.append((right[counts & there].mean() + right[counts & ~there].mean()) / 2)
    score = concept.score(said, true, asked)
    assert score["value"] == pytest.approx(np.mean(expected))
    rarest = 0.7 * 0.3 / (0.05 * 0.4 * 3000)  # its variance, of those that have it
    assert score["standard_error"] == pytest.approx((2 * rarest) ** 0.5 / 6, rel=0.2)
    usual = np.broadcast_to(concept.most_frequent(true), true.shape)
    assert concept.score(usual, true, asked)["value"] == 0.5
    twice = [np.repeat(part, 2, 0) for part in (said, true, asked)]
    assert concept.score(*twice, draws=2) == pytest.approx(score)
    assert np.isnan(concept.score(said[:1], true[:1], asked[:1])["value"])
    np.testing.assert_array_equal(
        concept.members(true, asked, true)[:, [0, 3]].T,
        [(true & asked)[:, 0], (~true & asked)[:, 0]],
    )


def test_a_judge_is_useless_by_the_examples_whose_class_is_known(caplog):
    image, label, _ = tiny.make_modalities()
    true = np.arange(100) % 5
    known = np.arange(100) < 50
    said = np.where(known, true, 0)
    Concept(label).warn_if_useless(said, true, known, image, "test")
    Concept(label).warn_if_useless(said, true, np.zeros(100, bool), image, "test")
    assert not caplog.records
    Concept(label).warn_if_useless(said, true, ~known, image, "test")
    assert "is right for 10 of 50 test examples" in caplog.text
