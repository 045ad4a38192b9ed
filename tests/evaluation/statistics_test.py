"""Standard errors against closed forms."""

import math

import numpy as np
import pytest

from tf_mvae.evaluation.statistics import (
    block_jackknife,
    jackknife_error,
    mean_and_error,
    mean_share,
    ratio_and_error,
    share,
)

VALUES = np.random.default_rng(0).normal(size=30)
ERROR = VALUES.std(ddof=1) / math.sqrt(30)


def test_the_jackknife_of_a_mean_is_its_standard_error():
    rows = np.stack([VALUES, np.ones(30)], axis=1)
    mean, error = ratio_and_error(lambda sums: sums[..., 0] / sums[..., 1], rows)
    assert mean_and_error(VALUES) == pytest.approx((mean, error))
    assert error == pytest.approx(ERROR)
    assert block_jackknife(lambda rows: VALUES[rows].mean(), 30, 100) == pytest.approx(ERROR)


def test_blocks_have_the_error_of_their_means():
    blocks = VALUES.reshape(6, 5).mean(axis=1)
    wanted = blocks.std(ddof=1) / math.sqrt(6)
    assert block_jackknife(lambda rows: VALUES[rows].mean(), 30, 6) == pytest.approx(wanted)


def test_one_block_has_no_error():
    assert math.isnan(mean_and_error(VALUES[:1])[1])
    assert math.isnan(ratio_and_error(lambda sums: sums[..., 0], np.ones([1, 3]))[1])
    assert math.isnan(block_jackknife(lambda rows: 1.0, 1, 20))
    assert np.isnan(jackknife_error(np.ones([1, 4]))).all()


def test_a_fraction():
    added = math.sqrt(3 / 8 * 5 / 8 / 8)  # two successes and two failures more
    assert share(1, 4) == {"value": 0.25, "standard_error": pytest.approx(added), "examples": 4}
    assert math.isnan(share(0, 0)["value"]) and math.isnan(mean_share(np.zeros(0))["value"])


def test_a_fraction_of_all_or_none_has_an_error():
    for right in (0, 6):
        assert 0.05 < share(right, 6)["standard_error"] < 0.2
    assert mean_share(np.ones(6)) == pytest.approx(share(6, 6))


def test_the_error_of_shares_is_over_examples():
    """Against the spread of many data sets, whose examples have rates of their own."""
    rng = np.random.default_rng(0)
    draws = rng.random([2000, 300, 4]) < rng.beta(2, 0.3, [2000, 300, 1])
    errors = [mean_share(rates)["standard_error"] for rates in draws.mean(-1)]
    assert np.mean(errors) == pytest.approx(draws.mean((1, 2)).std(), rel=0.06)
    alone = draws[0, :, 0].astype(float)
    assert mean_share(alone) == pytest.approx(share(alone.sum(), 300))
