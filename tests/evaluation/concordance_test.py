"""Tests of the concordance of estimated survival times."""

import numpy as np
import pytest

from tf_mvae.evaluation.concordance import concordance


def test_it_is_that_of_all_pairs_one_by_one():
    rng = np.random.default_rng(0)
    times, events = rng.integers(1, 9, 60).astype(float), rng.integers(0, 2, 60)
    estimates = times + rng.integers(-5, 5, 60)
    right, pairs = 0.0, 0
    for i in range(60):
        for j in range(60):
            before = times[i] < times[j] or (times[i] == times[j] and not events[j])
            if events[i] and before:
                right += (estimates[i] < estimates[j]) + 0.5 * (estimates[i] == estimates[j])
                pairs += 1
    found = concordance(times, events, estimates)
    assert found == (pytest.approx(right / pairs), pairs) and 0.55 < found[0] < 0.95


def test_estimates_that_are_right_wrong_or_alike():
    times, events = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1, 0, 1, 0])
    assert concordance(times, events, times) == (1.0, 4)
    assert concordance(times, events, -times) == (0.0, 4)
    assert concordance(times, events, np.ones(4)) == (0.5, 4)
    assert concordance(times, np.zeros(4), times) is None
