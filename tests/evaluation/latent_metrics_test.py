"""Probes and clusters, against scikit-learn's and known results."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score

from tf_mvae.evaluation.latent_metrics import adjusted_rand_index, k_means, linear_probe

pytestmark = pytest.mark.usefixtures("untraced")


def blobs(number, spread, seed):
    rng = np.random.default_rng(seed)
    classes = np.arange(number) % 3
    centres = 4 * np.eye(3, 5)
    return centres[classes] + spread * rng.normal(size=[number, 5]), classes


def test_a_probe_predicts_as_logistic_regression_does():
    (z, classes), (others, _) = blobs(300, 2.0, 0), blobs(200, 2.0, 1)
    scaled = [(values - z.mean(0)) / z.std(0) for values in (z, others)]
    oracle = LogisticRegression(C=1 / (300 * 1e-3), tol=1e-8).fit(scaled[0], classes)
    # scikit-learn weighs the sum of losses by C; ours is a mean with a decay of 1e-3.
    assert np.mean(linear_probe(z, classes, others, 3) == oracle.predict(scaled[1])) > 0.99


def test_a_constant_latent_leaves_a_probe_with_the_most_frequent_class():
    classes = np.array([1, 1, 1, 0, 2])
    assert linear_probe(np.zeros([5, 2]), classes, np.zeros([4, 2]), 3).tolist() == [1] * 4


def test_clusters_are_found_and_do_not_depend_on_names():
    values, classes = blobs(150, 0.3, 2)
    found = k_means(values, 3)
    assert adjusted_rand_index(found, classes) == 1
    np.testing.assert_array_equal(found, k_means(values, 3))
    assert set(k_means(np.zeros([6, 2]), 3)) == {0}


@pytest.mark.parametrize("seed", range(3))
def test_the_index_is_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    one = rng.integers(0, 4, 60)
    other = np.where(rng.random(60) < 0.5, one, rng.integers(0, 3, 60))
    assert adjusted_rand_index(one, other) == pytest.approx(adjusted_rand_score(one, other))
    assert adjusted_rand_index(one, 3 - one) == 1
