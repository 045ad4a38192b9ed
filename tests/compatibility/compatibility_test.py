"""Models and runs of version 0.1.0 give the same numbers as in that version."""

import json

import keras
import numpy as np
import pytest

from tests.compatibility import recorded
from tf_mvae import train as train_command  # noqa: F401  (registers every class)

FOLDER = recorded.HERE / "0.1.0"
RECORDED = json.loads((FOLDER / "recorded.json").read_text())


def same_machine() -> bool:
    """Returns whether processor and libraries, which affect the last bit, are those recorded."""
    return recorded.machine() == RECORDED["machine"]


@pytest.mark.parametrize("name", recorded.TINY_MODELS)
def test_a_saved_model_loads_and_computes_the_same(name):
    model = keras.models.load_model(FOLDER / f"{name}.keras")
    expected = RECORDED["tiny"][name]
    found = recorded.tiny_outputs(model)
    assert found["generated"].keys() == expected["generated"].keys()
    expected["kl"] = np.where(np.array(found["kl"]) == 0, 0.0, expected["kl"])
    for key in ("loss", "kl", "posterior"):
        np.testing.assert_allclose(found[key], expected[key], rtol=1e-5, atol=1e-5)
    for key, values in expected["generated"].items():
        np.testing.assert_allclose(found["generated"][key], values, rtol=1e-5, atol=1e-5)


# XLA compiles for seconds; the models that differ most are enough from day to day.
OFTEN = {"mvae_xla", "cvae_graph"}
CASES = [
    pytest.param(case, marks=() if case in OFTEN else pytest.mark.long)
    for case in [*(f"{name}_xla" for name in recorded.DIGITS_MODELS), "mvae_graph", "cvae_graph"]
]


@pytest.mark.parametrize("case", CASES)
def test_training_on_digits_ends_with_the_same_weights(case, graph_optimizer):
    name, how = case.rsplit("_", 1)
    expected = RECORDED["digits"][case]
    found = recorded.train_on_digits(
        recorded.digits_model(*recorded.DIGITS_MODELS[name]), how == "xla"
    )
    if same_machine():
        assert found["sha256"] == expected["sha256"]
    # Another processor rounds otherwise, which 50 steps of Adam make larger.
    assert found["loss"] == pytest.approx(expected["loss"], rel=2e-3)
    np.testing.assert_allclose(found["weight_norms"], expected["weight_norms"], rtol=5e-3)
