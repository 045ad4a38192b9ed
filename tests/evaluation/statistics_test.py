"""Standard errors against closed forms."""

import math

import numpy as np
import pytest

from tf_mvae.evaluation.statistics import (
    block_jackknife,
    jackknife_error,
    mean_and_error,
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
    assert share(1, 4) == {"value": 0.25, "standard_error": math.sqrt(3) / 8, "examples": 4}
    assert math.isnan(share(0, 0)["value"])
