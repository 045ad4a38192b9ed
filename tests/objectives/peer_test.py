"""The objectives of MoPoE, MVTCAE, MMVAE and MMVAE+ against MultiVae's, on the same arrays.

`peer_losses.json` holds what MultiVae 1.0.3 computes (`benchmarks/objective_agreement.py`).
"""

import json
import pathlib

import numpy as np
import pytest

from tests.objectives import shared_arrays

PEER = json.loads((pathlib.Path(__file__).parent / "peer_losses.json").read_text())


@pytest.mark.parametrize("case", shared_arrays.CASES)
def test_loss_and_gradients_are_those_of_multivae(case):
    loss, gradients = shared_arrays.loss_and_gradients(case)
    # With DReG MultiVae reports the surrogate sum_k w_k log w_k, and not the bound that its
    # gradient belongs to.
    if "dreg" not in case and case != "mmvae_plus_incomplete":
        np.testing.assert_allclose(loss, PEER[case]["loss"], rtol=1e-5)
    # MultiVae's MoPoE was given the samples, so that no gradient passes through them. Its
    # largest product contains the prior, which the paper's (equation 9) does not: left out.
    if not case.startswith("mopoe"):
        for name, expected in PEER[case]["gradients"].items():
            np.testing.assert_allclose(np.ravel(gradients[name]), expected, rtol=1e-3, atol=1e-4)
