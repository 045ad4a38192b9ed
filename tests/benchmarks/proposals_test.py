"""The comparison of proposals, on a model whose likelihoods have a closed form."""

import importlib
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from tests.linear_gaussian import LinearGaussian


def test_an_exact_posterior_needs_no_second_sample_and_the_prior_many(scripts):
    proposals = importlib.import_module("proposals")
    exact = LinearGaussian((3, 4))
    x = exact.sample(20)
    dataset = tf.data.Dataset.from_tensor_slices({"x": x})
    run = SimpleNamespace(model=exact.model(), batches=lambda split, size: dataset.batch(size))
    found = proposals.compare(run, num_samples=64, max_examples=20, batch_size=10)
    assert list(found) == [
        "log p(x0)", "log p(x1)", "log p(x0, x1)", "log p(x0 | x1)", "log p(x1 | x0)",
    ]  # fmt: skip
    for name, row in found.items():
        assert row["prior"]["effective_sample_size"] < 40 and row["prior"]["examples"] == 20
        if "|" not in name:
            assert row["q"]["effective_sample_size"] == pytest.approx(64, rel=1e-3)
        assert row["q and sampler"] == row["q"]  # there is no sampler
    want = [exact.log_prob(x, row, exact.names) for row in range(20)]
    assert found["log p(x0, x1)"]["q"]["log_likelihood"] == pytest.approx(np.mean(want), abs=1e-3)
