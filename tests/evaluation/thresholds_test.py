"""Thresholds, compared with an exhaustive search."""

import numpy as np

from tf_mvae.evaluation.thresholds import balanced_thresholds


def balanced(probabilities, has, threshold):
    named = probabilities > threshold
    return (np.mean(named[has]) + np.mean(~named[~has])) / 2


def test_no_other_threshold_is_better():
    rng = np.random.default_rng(0)
    true = rng.random([60, 4]) < [0.1, 0.3, 0.5, 0.9]
    probabilities = np.round(rng.random([60, 4]) * 0.6 + 0.2 * true, 2)  # some are equal
    counts = rng.random([60, 4]) < 0.8
    found = balanced_thresholds(probabilities, true, counts, np.full(4, np.nan))
    for column in range(4):
        rows = counts[:, column]
        p, has = probabilities[rows, column], true[rows, column]
        most = max(balanced(p, has, level) for level in np.arange(0, 1, 0.001))
        assert balanced(p, has, found[column]) == most > 0.5


def test_the_middle_of_equally_good_ones_is_taken():
    true = np.array([[False], [False], [True]])
    probabilities = np.array([[0.1], [0.2], [0.6]])
    known = np.ones_like(true)
    np.testing.assert_allclose(balanced_thresholds(probabilities, true, known, [0.0]), 0.4)


def test_where_nothing_can_be_chosen_it_is_the_other_one():
    """The first attribute has no positive, the second no value, the third equal probabilities."""
    true = np.array([[False, True, True], [False, False, False]])
    counts = np.array([[True, False, True], [True, False, True]])
    probabilities = np.array([[0.1, 0.2, 0.5], [0.9, 0.3, 0.5]])
    otherwise = np.array([0.25, 0.5, 0.75])
    found = balanced_thresholds(probabilities, true, counts, otherwise)
    np.testing.assert_array_equal(found, otherwise)
