"""The files of `assets.extra`: description, model card, warm-up requests."""

import json

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from tests import tiny
from tf_mvae import CVAE
from tf_mvae.serving import describe, example_inputs
from tf_mvae.serving.description import describe_function
from tf_mvae.serving.export import read_meta_graph
from tf_mvae.serving.signatures import signatures
from tf_mvae.serving.warmup import WARMUP_FILE, predict_request

MASKED = ("serving_default", "encode", "generate", "log_likelihood")


@pytest.fixture(scope="module")
def extra(digits_export):
    return digits_export / "assets.extra"


@pytest.fixture(scope="module")
def described(extra):
    return json.loads((extra / "tf_mvae.json").read_text())


@pytest.fixture(scope="module")
def served(digits_export):
    return tf.saved_model.load(str(digits_export)).signatures


def test_the_description_says_what_the_model_is(described, digits_model):
    assert {**describe(digits_model, {}), "signatures": described["signatures"]} == described
    assert described["model"] == "MVAE" and described["latent_dim"] == 4
    assert described["targets"] == ["image", "label"] and described["conditions"] == []
    image, label = described["modalities"]["image"], described["modalities"]["label"]
    assert (image["low"], image["high"], image["is_image"]) == (0, 1, True)
    assert (label["low"], label["high"], label["is_image"]) == (0, 9, False)
    assert label["class_names"] == list("0123456789")


def test_every_field_of_every_signature_is_described(described, digits_export):
    found = read_meta_graph(digits_export).signature_def
    names = {name for name in found if not name.startswith("_")}
    others = {"decode", "sample", "impute"}
    assert names == {*MASKED, *(f"{name}_all_present" for name in MASKED), *others}
    assert set(described["signatures"]) == names
    for name, signature in described["signatures"].items():
        assert signature["meaning"].endswith(".")
        for part in ("inputs", "outputs"):
            infos = getattr(found[name], part)
            assert set(signature[part]) == set(infos)
            for key, field in signature[part].items():
                info = infos[key]
                sizes = [size.size for size in info.tensor_shape.dim]
                symbols = {"batch", "num_samples"}
                assert [-1 if size in symbols else size for size in field["shape"]] == sizes
                assert tf.as_dtype(info.dtype) == field["dtype"]
                assert field["meaning"].endswith(".") and {"low", "high"} <= set(field)
        required = {key for key, field in signature["inputs"].items() if field["required"]}
        assert required == set(found[name].inputs) - set(found[name].defaults)
    assert described["signatures"]["log_likelihood"]["inputs"]["num_samples"]["default"] == 1000
    shape = described["signatures"]["generate"]["outputs"]["image"]["shape"]
    assert shape == ["num_samples", "batch", 28, 28, 1]


def test_answers_are_within_the_bounds_that_are_told(described, served):
    for name, signature in described["signatures"].items():
        inputs = example_inputs(described, name, batch=3, seed=1)
        for key, field in signature["inputs"].items():
            assert inputs[key].dtype == field["dtype"]
            assert field["low"] is None or np.all(inputs[key] >= field["low"])
            assert field["high"] is None or np.all(inputs[key] <= field["high"])
        answer = served[name](**{key: tf.constant(value) for key, value in inputs.items()})
        assert set(answer) == set(signature["outputs"])
        sizes = {"batch": 3, "num_samples": 4}
        for key, field in signature["outputs"].items():
            assert list(answer[key].shape) == [sizes.get(size, size) for size in field["shape"]]
            assert field["low"] is None or np.all(answer[key].numpy() >= field["low"] - 1e-5)
            assert field["high"] is None or np.all(answer[key].numpy() <= field["high"] + 1e-5)


def test_a_condition_is_required_and_has_no_mask():
    model = tiny.make_any(CVAE)
    found = signatures(model)
    assert "sample" not in found
    for name in MASKED:
        specs = {spec.name: spec for spec in found[name].input_signature}
        described = describe_function(model, name, specs, {})["inputs"]
        assert {"image", "label", "reading", "image_mask"} <= set(described)
        assert not {"label_mask", "reading_mask"} & set(described)
    assert [s.name for s in found["decode"].input_signature] == ["z", "label", "reading"]


def test_the_official_stubs_parse_the_warm_up_requests_and_each_is_answered(extra, served):
    seen = set()
    for record in tf.data.TFRecordDataset(str(extra / WARMUP_FILE)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        assert request.model_spec.name == "digits"
        seen.add(request.model_spec.signature_name)
        inputs = {key: tf.constant(tf.make_ndarray(v)) for key, v in request.inputs.items()}
        for value in served[request.model_spec.signature_name](**inputs).values():
            assert np.all(np.isfinite(value))
    assert seen == set(served)


def test_a_request_of_the_official_stubs_is_what_was_asked():
    value = np.ones([2, 4], np.float32)
    request = predict_request("digits", "decode", {"z": value})
    again = type(request).FromString(request.SerializeToString())
    assert (again.model_spec.name, again.model_spec.signature_name) == ("digits", "decode")
    np.testing.assert_array_equal(tf.make_ndarray(again.inputs["z"]), value)


def test_the_model_card_tells_what_is_known(extra):
    card = json.loads((extra / "model_card.json").read_text())
    assert card["model"] == {"class": "MVAE", "latent_dim": 4, "targets": ["image", "label"],
                             "conditions": []}  # fmt: skip
    assert card["data"] == {"description": "nothing | at all"}
    assert card["metrics"] == {"elbo": -1.5}
    assert card["licence"].startswith("Nobody's.") and "Apache" in card["licence"]
    assert any("cross-entropy" in limit for limit in card["limits"])
    text = (extra / "model_card.md").read_text()
    assert "| description | nothing \\| at all |" in text and "| elbo | -1.5 |" in text
    assert "## Flags\n\nNot known." in text
    for limit in card["limits"]:
        assert f"- {limit}\n" in text
