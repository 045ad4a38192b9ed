"""When the comparison of objectives fails."""

import numpy as np
import pytest

from benchmarks import objective_agreement as agreement


def test_a_difference_that_is_no_number_is_no_agreement():
    assert agreement.agree([0.0, 1e-4])
    assert not agreement.agree([0.0, 2e-4, 0.0])
    assert not agreement.agree([0.0, float("nan"), 0.0])


@pytest.mark.parametrize(
    ("case", "compared"),
    [("mvtcae", ["loss", "gradients"]), ("mopoe", ["loss"]), ("mmvae_dreg", ["gradients"])],
)
def test_losses_and_gradients_are_compared_where_both_mean_the_same(case, compared):
    ours = {"a": np.array([[1.0, 2.0]]), "b": np.array([np.nan, 1.0]), "c": np.zeros(1)}
    theirs = {"loss": 4.0, "gradients": {"a": [1.0, 2.5], "b": [0.0, 1.0], "c": None}}
    found = agreement.differences(case, 4.5, ours, theirs)
    assert list(found) == compared
    assert found.get("loss", 0.125) == 0.125 and np.isnan(found.get("gradients", np.nan))
    theirs["gradients"]["b"] = None
    assert agreement.differences("mvtcae", 4.5, ours, theirs)["gradients"] == 0.5
