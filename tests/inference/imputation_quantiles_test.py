"""Quantiles of samples: coverage by a further value of the same distribution, ranks, gaps."""

import numpy as np
import pytest

from tf_mvae.inference.imputation_quantiles import sample_quantiles


@pytest.mark.parametrize("samples", [20, 200])
def test_intervals_of_an_oracles_samples_contain_their_level(samples):
    """With "linear" quantiles the level of 90 % of 20 samples contains 81.4 %."""
    number = 20_000
    rng = np.random.default_rng(samples)
    drawn = rng.normal(size=[samples + 1, number]).astype(np.float32)
    truth, sample = drawn[0], drawn[1:]
    for level in (0.5, 0.8, 0.9):
        low, high = sample_quantiles(sample, ((1 - level) / 2, (1 + level) / 2))
        error = np.sqrt(level * (1 - level) / number)
        # Linear interpolation between ranks adds up to 0.002 with 20 samples.
        inside = np.mean((low <= truth) & (truth <= high))
        assert abs(inside - level) < 4 * error + 0.002


@pytest.mark.parametrize("are_counts", [False, True])
def test_quantiles_have_the_ranks_of_their_probabilities(are_counts):
    """The samples 1 to K are their own ranks; half a rank of counts is rounded up."""
    probabilities = np.array([0.001, 0.05, 0.3, 0.5, 0.9, 0.999])
    for number in (1, 9, 19, 100):
        sample = np.random.default_rng(0).permutation(np.arange(1.0, number + 1))[:, np.newaxis]
        wanted = np.clip((number + 1) * probabilities, 1, number)
        if are_counts:
            wanted = np.floor(wanted + 0.5)
        found = sample_quantiles(sample.astype(np.float32), probabilities, are_counts)[:, 0]
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_quantiles_of_counts_are_samples():
    sample = np.random.default_rng(0).poisson(30, [24, 50]).astype(np.float32)
    found = sample_quantiles(sample, np.linspace(0.01, 0.99, 40), True)
    assert all(np.isin(found[:, place], sample[:, place]).all() for place in range(50))
    assert (np.diff(found, axis=0) >= 0).all() and found.dtype == np.float32


@pytest.mark.parametrize("are_counts", [False, True])
def test_what_is_not_a_number_stays_so_and_no_quantile_may_be_asked_for(are_counts):
    sample = np.ones([5, 2], np.float32)
    sample[3, 1] = np.nan
    found = sample_quantiles(sample, (0.1, 0.5), are_counts)
    np.testing.assert_array_equal(found, [[1, np.nan]] * 2)
    assert sample_quantiles(sample, (), are_counts).shape == (0, 2)
