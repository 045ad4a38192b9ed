"""Requests that the model would answer, and not as it was meant, are refused or understood."""

import json
import math

import numpy as np
import pytest

from tests import tiny
from tests.serving.server_tools import serving_export
from tf_mvae.serving import export_saved_model

BATCH = tiny.make_batch(np.ones([2, 3]))
X = {name: np.asarray(value, float).tolist() for name, value in BATCH["x"].items()}
X["label"] = BATCH["x"]["label"].tolist()
ONE = {name: value[:1] for name, value in X.items()}


@pytest.fixture(scope="module")
def model():
    return tiny.make_model()


@pytest.fixture(scope="module")
def client(model, tmp_path_factory):
    with serving_export(model, tmp_path_factory.mktemp("served") / "tiny") as client:
        yield client


def ask(client, signature, **inputs):
    body = {"signature_name": signature, "inputs": inputs}
    status, answer = client.predict(json.dumps(body).encode())
    return status, answer.get("outputs") or answer["error"]


@pytest.mark.parametrize("signature", ["serving_default", "impute", "log_likelihood"])
def test_a_modality_without_values_is_missing_whatever_its_mask_says(client, signature):
    expected = ask(client, signature, label=[1, 2])
    assert expected[0] == 200
    assert ask(client, signature, label=[1, 2], image_mask=[1.0, 1.0]) == expected


@pytest.mark.parametrize(
    "signature", ["serving_default", "encode", "generate", "impute", "log_likelihood"]
)
def test_inputs_of_different_numbers_of_examples_are_refused(client, signature):
    for inputs in (
        {"image": ONE["image"], "label": X["label"]},
        {"label": X["label"], "label_mask": [1.0]},
    ):
        status, said = ask(client, signature, **inputs)
        assert status == 400 and "the inputs differ in their number of examples" in said


@pytest.mark.parametrize("value", [0.5, -1.0, 2.0, math.nan])
def test_a_mask_is_0_or_1(client, value):
    status, said = ask(client, "generate", label=[1], label_mask=[value])
    assert status == 400 and "'label_mask' must hold 0 and 1 only" in said


def test_what_is_no_number_is_refused_unless_it_is_masked(client):
    broken = [[[[math.nan]] * len(ONE["image"][0][0])] * len(ONE["image"][0])]
    status, said = ask(client, "encode", image=broken)
    assert status == 400
    assert "'image' must hold finite numbers; a missing one has 0 in image_mask" in said
    status, found = ask(client, "encode", **{**ONE, "image": broken}, image_mask=[0.0])
    assert status == 200 and np.isfinite(found["loc"]).all()
    for value in (math.nan, math.inf):
        status, said = ask(client, "generate", **ONE, temperature=value)
        assert status == 400 and "'temperature' must hold finite numbers" in said


def test_a_request_has_an_example_and_masks_alone_count_them(client, model):
    for signature in ("serving_default", "encode", "generate", "impute", "log_likelihood"):
        status, said = ask(client, signature)
        assert (status, said) == (400, "a request must hold at least one example")
    masks = {f"{name}_mask": [0.0, 0.0] for name in X}
    status, found = ask(client, "generate", **masks, num_samples=3)
    assert status == 200 and np.shape(found["z"]) == (3, 2, model.latent_dim)
    status, found = ask(client, "encode", **masks)
    assert status == 200 and np.shape(found["loc"]) == (2, model.latent_dim)
    tiny.assert_close(np.array(found["loc"]), np.zeros([2, model.latent_dim]), 1e-5, 1e-5)


def test_a_table_says_how_its_columns_become_numbers(tmp_path):
    pd = pytest.importorskip("pandas")
    from tf_mvae import MVAE
    from tf_mvae.data import from_frame

    frame = pd.DataFrame({"age": np.linspace(20, 80, 12), "city": ["Bonn", "Köln", "Ulm"] * 4})
    export_saved_model(MVAE(from_frame(frame, verbose=False).modalities(), 2), tmp_path / "model")
    extra = tmp_path / "model" / "assets.extra"
    (modality,) = json.loads((extra / "tf_mvae.json").read_text())["modalities"].values()
    columns = {column["name"]: column for column in modality["table_columns"]}
    assert columns["city"]["categories"] == ["Bonn", "Köln", "Ulm"]
    assert columns["age"]["loc"] == pytest.approx(50)
    card = (extra / "model_card.md").read_text()
    assert "| city | categorical | 0: Bonn, 1: Köln, 2: Ulm |" in card
    assert "| age | real | (x - 50) / " in card
