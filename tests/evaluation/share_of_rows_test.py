"""Fractions of cells, several of which are of one row."""

import math

import numpy as np
import pytest

from tf_mvae.evaluation.statistics import share, share_of_rows


def test_the_error_is_over_rows():
    """Against the spread of many data sets whose rows have rates and numbers of cells."""
    rng = np.random.default_rng(0)
    number = rng.integers(0, 12, [1000, 80])
    right = rng.binomial(number, rng.beta(2, 0.5, [1000, 80]))
    found = [share_of_rows(*counts) for counts in zip(right, number, strict=True)]
    spread = np.std([one["value"] for one in found])
    assert np.mean([one["standard_error"] for one in found]) == pytest.approx(spread, rel=0.06)
    alone = share(right[0].sum(), number[0].sum())
    assert alone["standard_error"] < 0.6 * spread and alone["value"] == found[0]["value"]
    assert found[0]["examples"] == number[0].sum() and found[0]["rows"] == (number[0] > 0).sum()


def test_rows_of_one_cell_are_examples():
    right = np.repeat([0, 1], [3, 9])
    found = share_of_rows(right, np.ones(12))["standard_error"]
    assert found == pytest.approx(right.std(ddof=1) / math.sqrt(12))


def test_all_or_no_cells_have_an_error_and_no_cells_have_none():
    for right in (np.zeros(6), np.full(6, 20)):
        found = share_of_rows(right, np.full(6, 20))
        assert found["standard_error"] == pytest.approx(share(0, 6)["standard_error"])
    assert math.isnan(share_of_rows(np.zeros(0), np.zeros(0))["value"])
    assert math.isnan(share_of_rows(np.ones(1), np.full(1, 2))["standard_error"])
