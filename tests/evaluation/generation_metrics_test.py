"""Distances, neighbourhoods and variances against closed forms and plain loops."""

import numpy as np
import pytest
import scipy.linalg

from tf_mvae.evaluation.generation_metrics import (
    GaussianFit,
    Neighbourhoods,
    within_class_variance,
)


def sample_with(mean, covariance, number, rng):
    """Returns a sample whose mean and covariance are exactly these."""
    noise = rng.normal(size=[number, len(mean)])
    noise -= noise.mean(0)
    noise = noise @ np.linalg.inv(np.linalg.cholesky(np.cov(noise, rowvar=False))).T
    return mean + noise @ np.linalg.cholesky(covariance).T


def frechet_distance(first, second):
    return GaussianFit.of(first).frechet_distance(second)


def random_covariance(size, rng):
    root = rng.normal(size=[size, size])
    return root @ root.T + 0.1 * np.eye(size)


def test_frechet_distance_of_gaussians_is_the_closed_form():
    rng = np.random.default_rng(0)
    means = rng.normal(size=[2, 4])
    covariances = [random_covariance(4, rng) for _ in range(2)]
    samples = [sample_with(m, c, 50, rng) for m, c in zip(means, covariances, strict=True)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = np.sum((means[0] - means[1]) ** 2) + np.trace(sum(covariances) - 2 * root)
    assert frechet_distance(*samples) == pytest.approx(expected)
    assert frechet_distance(*samples[::-1]) == pytest.approx(expected)
    assert frechet_distance(samples[0], samples[0] + 2) == pytest.approx(4 * 4)
    assert frechet_distance(samples[0], samples[0]) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_of_fewer_examples_than_features_is_finite():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=[2, 5, 12]).astype(np.float32)
    constant = np.repeat(second[:1], 5, 0)  # no variance at all
    spread = np.var(first, axis=0, ddof=1).sum()
    expected = np.sum((first.mean(0) - second[0]) ** 2) + spread
    assert frechet_distance(first, constant) == pytest.approx(expected, rel=1e-5)
    assert 0 < frechet_distance(first, second) < 1000


@pytest.mark.parametrize("k", [1, 5])
def test_density_and_coverage_equal_plain_loops(k, monkeypatch):
    monkeypatch.setattr("tf_mvae.evaluation.generation_metrics._BLOCK", 7)
    rng = np.random.default_rng(k)
    real, generated = rng.normal(size=[20, 3]), 1.0 + rng.normal(size=[30, 3])
    inside = np.zeros([30, 20])
    for i, centre in enumerate(real):
        others = np.sort([np.linalg.norm(centre - o) for j, o in enumerate(real) if j != i])
        for j, point in enumerate(generated):
            inside[j, i] = np.linalg.norm(point - centre) < others[k - 1]
    parts, covered = Neighbourhoods.of(real, k).compare(generated)
    assert parts.mean() == pytest.approx(inside.sum() / (k * 30))
    np.testing.assert_array_equal(covered, inside.any(0))
    assert 0 < covered.sum() < 20


def test_coverage_of_other_real_examples_is_what_theory_says():
    """1 - (N-1)...(N-k) / (M+N-1)...(M+N-k), whatever the distribution (Naeem et al., Lemma 2)."""
    rng, number, k = np.random.default_rng(2), 400, 5
    shares = [
        Neighbourhoods.of(rng.normal(size=[number, 2]), k)
        .compare(rng.normal(size=[number, 2]))[1]
        .mean()
        for _ in range(10)
    ]
    places = np.arange(1, k + 1)
    expected = 1 - np.prod((number - places) / (2 * number - places))
    assert np.mean(shares) == pytest.approx(expected, abs=4 * np.std(shares) / 10**0.5)


def test_variance_within_classes_equals_a_plain_loop():
    rng = np.random.default_rng(3)
    values = (100 + rng.normal(size=[40, 2, 3, 1])).astype(np.float32)
    members = rng.random([40, 6]) < [0.5, 0.3, 0.5, 0.9, 0.0, 0.0]
    members[7, 5] = True  # a class of one does not count
    total = freedom = 0.0
    for column in range(4):
        part = values[members[:, column]].reshape(-1, 6).astype(float)
        total += np.sum((part - part.mean(0)) ** 2)
        freedom += len(part) - 1
    assert within_class_variance(values, members) == pytest.approx(total / freedom, rel=1e-4)
    assert np.isnan(within_class_variance(values, members[:, 4:]))
    assert within_class_variance(np.ones([4, 3], np.float32), np.ones([4, 1], bool)) == 0
