"""Elements of one input may have bounds of their own: columns of several types, survival times."""

import json

import numpy as np
import pytest

from tests.serving.server_tools import serving
from tf_mvae import MVAE, Modality, likelihoods
from tf_mvae.layers import mlp_decoder, mlp_encoder
from tf_mvae.serving import example_inputs, export_saved_model

PARTS = [
    likelihoods.Normal([1]),
    likelihoods.Categorical(3),
    likelihoods.Poisson([1]),
    likelihoods.Beta([1]),
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    each = {"table": likelihoods.Columns(PARTS), "survival": likelihoods.CensoredWeibull()}
    modalities = [
        Modality(
            name,
            likelihood,
            mlp_encoder([3]),
            mlp_decoder(likelihood.parameter_shape, [3]),
            element_mask=name == "table",
        )
        for name, likelihood in each.items()
    ]
    path = tmp_path_factory.mktemp("exported") / "patients"
    export_saved_model(MVAE(modalities, 2), path)
    return path


@pytest.fixture(scope="module")
def client(exported):
    with serving(exported, "patients") as client:
        yield client


def ask(client, table, survival=(2.0, 1.0), mask=(1.0, 1.0, 1.0, 1.0)):
    inputs = {"table": [table], "survival": [survival], "table_mask": [mask], "survival_mask": [1]}
    body = {"signature_name": "encode", "inputs": inputs}
    return client.predict(json.dumps(body).encode())


def test_the_description_has_the_bounds_of_each_element(exported):
    described = json.loads((exported / "assets.extra/tf_mvae.json").read_text())
    table = described["modalities"]["table"]
    assert table["low"][0] < -1e6 and table["low"][1:3] == [0, 0] and table["high"][1] == 2
    whole = {name: entry["whole"] for name, entry in described["modalities"].items()}
    assert whole == {"table": [False, True, False, False], "survival": [False, True]}
    low, high = (described["modalities"]["survival"][side] for side in ("low", "high"))
    assert low[0] > 0 and high[0] > 1e3 and (low[1], high[1]) == (0, 1)
    drawn = example_inputs(described, "encode", 200)
    assert np.abs(drawn["table"][:, 0]).max() < 10 and np.unique(drawn["table"][:, 0]).size == 200
    assert set(drawn["table"][:, 1]) == {0, 1, 2} and drawn["table"][:, 0].min() < 0
    assert set(drawn["table"][:, 2]) <= set(range(20)) and drawn["survival"][:, 0].min() > 0
    assert set(drawn["survival"][:, 1]) == {0, 1}
    assert 0 < drawn["table"][:, 3].min() < 0.1 and 0.9 < drawn["table"][:, 3].max() < 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"table": [0, 3, 1, 0.5]}, "'table', element [1] of an example, must lie in 0 to 2"),
        ({"table": [0, 1, -1, 0.5]}, "'table', element [2] of an example, must lie in 0 to"),
        ({"table": [0, 1, 1, 1.5]}, "'table', element [3] of an example, must lie in 1e-"),
        ({"survival": [-2, 1]}, "'survival', element [0] of an example, must lie in"),
        ({"table": [0, 0.5, 1, 0.5]}, "'table', element [1] of an example, must be a whole number"),
        ({"survival": [2, 0.5]}, "'survival', element [1] of an example, must be a whole number"),
        ({"survival": [2, 1.5]}, "'survival', element [1] of an example, must lie in 0 to 1"),
    ],
)
def test_an_element_out_of_its_bounds_is_refused(client, wrong, said):
    status, answer = ask(client, **{"table": [-5.0, 1, 4, 0.5], **wrong})
    assert status == 400 and said in answer["error"]


def test_what_stands_in_a_gap_is_not_checked(client):
    for hidden in (9, 0.5):
        status, answer = ask(client, [-5.0, hidden, 2.5, 0.5], mask=[1.0, 0.0, 1.0, 1.0])
        assert status == 200, answer
        assert np.isfinite(answer["outputs"]["loc"]).all()
