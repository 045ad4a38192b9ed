"""The REST API against TensorFlow Serving's documentation and the model in Python."""

import base64
import gzip
import json
import math

import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tests.serving.server_tools import save_stranger, serving, serving_export


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    base = tmp_path_factory.mktemp("served")
    save_stranger(base / "3")
    with serving(base, labels={"stable": 3, "gone": 2}) as client:
        yield client


@pytest.fixture(scope="module")
def model():
    return tiny.make_model(batch_norm=True)


@pytest.fixture(scope="module")
def ours(model, tmp_path_factory):
    """A server of this package's own SavedModel, given without a version directory."""
    with serving_export(model, tmp_path_factory.mktemp("ours") / "tiny") as client:
        yield client


# Bodies and answers as TensorFlow Serving's documentation has them.
@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"instances": [[1, 2.5], [3, 4]]}, {"predictions": [[2, 5], [6, 8]]}),
        ({"instances": [{"x": [1, 2]}]}, {"predictions": [[2, 4]]}),
        ({"inputs": [[1, 2]]}, {"outputs": [[2, 4]]}),
        ({"inputs": {"x": [[1, 2]]}, "signature_name": ""}, {"outputs": [[2, 4]]}),
        (
            {"signature_name": "named", "instances": [{"a": 0.5, "b": 1}, {"a": 1, "b": 2}]},
            {"predictions": [{"total": 1.5, "twice": 2}, {"total": 3, "twice": 4}]},
        ),
        (
            {"signature_name": "named", "inputs": {"a": [0.5, 1], "b": [1, 2]}},
            {"outputs": {"total": [1.5, 3], "twice": [2, 4]}},
        ),
        (
            {"signature_name": "strings", "instances": ["hé", {"b64": "aGk="}]},
            {
                "predictions": [
                    {"echo": "hé", "raw_bytes": {"b64": base64.b64encode("hé".encode()).decode()}},
                    {"echo": "hi", "raw_bytes": {"b64": "aGk="}},
                ]
            },
        ),
        (
            {"signature_name": "strings", "inputs": [{"b64": "/w=="}]},
            {"outputs": {"echo": [{"b64": "/w=="}], "raw_bytes": [{"b64": "/w=="}]}},
        ),
        (
            {"signature_name": "repeat", "inputs": {"x": [1, 2], "times": 2}},
            {"outputs": [[1, 2], [1, 2]]},
        ),
        ({"signature_name": "flags", "instances": [True, False]}, {"predictions": [False, True]}),
        ({"signature_name": "small", "instances": [0, 255]}, {"predictions": [0, 255]}),
        ({"signature_name": "free", "inputs": [[1], [2]]}, {"outputs": [[2], [3]]}),
        (  # what stands where a mask is 0 does not matter
            {"signature_name": "bounded", "inputs": {"level": [9, 0.5], "level_mask": [0, 1]}},
            {"outputs": [0, 0.5]},
        ),
        (
            {"signature_name": "streamed", "inputs": {"x": [1, 2], "num_samples": 5000}},
            {"outputs": [1, 2]},
        ),
        ({"inputs": [[1, 2]], "model_version_hint": "ignored"}, {"outputs": [[2, 4]]}),
    ],
)
def test_predict(client, body, answer):
    assert client.predict(body) == (200, answer)


def test_numbers_are_the_float32_that_the_model_gave(client):
    value = np.float32(1 / 3)
    found = client.columns("serving_default", x=[[float(value), 1e-30]])
    np.testing.assert_array_equal(
        np.array(found, np.float32), np.float32(2) * np.array([[value, 1e-30]], np.float32)
    )


def test_nan_and_infinity_go_in_and_come_out_as_their_tokens(client):
    status, _, raw = client.ask(
        "POST",
        "/v1/models/stranger:predict",
        b'{"signature_name": "logarithm", "instances": [NaN, Infinity, 0, -1, 1]}',
    )
    assert status == 200
    found = raw["predictions"]
    assert math.isnan(found[0]) and math.isnan(found[3])
    assert found[1:3] == [math.inf, -math.inf] and found[4] == 0


def test_nan_may_be_refused(client, tmp_path):
    save_stranger(tmp_path / "1")
    with serving(tmp_path, accept_nonfinite=False) as strict:
        status, found = strict.predict(b'{"instances": [[NaN, 1]]}')
        assert status == 400 and "'x'" in found["error"] and "NaN" in found["error"]
        assert strict.predict({"instances": [[0, 1]]})[0] == 200
        assert strict.predict({"signature_name": "strings", "instances": ["hi"]})[0] == 200


def test_a_body_may_be_gzip(client):
    body = gzip.compress(b'{"instances": [[1, 2]]}')
    headers = {"Content-Encoding": "gzip"}
    assert client.predict(body, headers=headers) == (200, {"predictions": [[2, 4]]})


@pytest.mark.parametrize("at", ["/versions/3", "/labels/stable"])
def test_a_version_may_be_named(client, at):
    assert client.predict({"instances": [[1, 2]]}, at) == (200, {"predictions": [[2, 4]]})
    assert client.ask("GET", f"/v1/models/stranger{at}")[0] == 200
    assert client.ask("GET", f"/v1/models/stranger{at}/metadata")[0] == 200


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/v1/models/half:predict", 404, "Servable not found for request: Latest(half)"),
        ("/v1/models/stranger/versions/2:predict", 404, "Specific(stranger, 2)"),
        ("/v1/models/stranger/labels/gone:predict", 404, "Specific(stranger, 2)"),
        ("/v1/models/stranger/labels/none:predict", 400, "label: none"),
        ("/v1/models/stranger:classify", 400, "method_name to be tensorflow/serving/classify"),
        ("/v1/models/stranger:regress", 400, "Was: tensorflow/serving/predict"),
        ("/v1/models/stranger:guess", 400, "Malformed request"),
        ("/v2", 404, "Not Found"),
        ("/v1/models/stranger", 405, "Method Not Allowed"),
    ],
)
def test_a_wrong_path_says_so_in_json(client, path, status, words):
    found = client.ask("POST", path, {"instances": [[1, 2]]})
    assert found[0] == status and words in found[2]["error"]


def test_predict_is_not_got(client):
    status, headers, body = client.ask("GET", "/v1/models/stranger:predict")
    assert status == 405 and headers["allow"] == "POST" and body["error"]


def test_status(client):
    entry = {
        "version": "3",
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    for at in ("", "/versions/3"):
        found = client.ask("GET", f"/v1/models/stranger{at}")
        assert found[0] == 200 and found[2] == {"model_version_status": [entry]}
    assert client.ask("GET", "/v1/models/stranger/versions/9")[0] == 404


def test_metadata_is_the_signatures(client):
    _, _, found = client.ask("GET", "/v1/models/stranger/metadata")
    assert found["model_spec"] == {"name": "stranger", "signature_name": "", "version": "3"}
    signature = found["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    given = signature["inputs"]["x"]
    assert given["dtype"] == "DT_FLOAT"
    sizes = [{"size": "-1", "name": ""}, {"size": "2", "name": ""}]
    assert given["tensor_shape"] == {"dim": sizes, "unknown_rank": False}


def test_probes_and_metrics(client):
    assert client.ask("GET", "/healthz")[0] == 200
    assert client.ask("GET", "/readyz")[0] == 200
    client.predict({"instances": [[1, 2]]})
    _, headers, text = client.ask("GET", "/metrics")
    assert headers["content-type"].startswith("text/plain")
    lines = text.decode().splitlines()
    count = [
        x for x in lines if x.startswith('tf_mvae_requests_total{route="predict",status="200"')
    ]
    assert float(count[0].split()[1]) >= 1
    assert 'tf_mvae_model_version{version="3"} 1.0' in lines


def test_openapi_has_the_routes_and_tensors_of_this_model(client):
    _, _, document = client.ask("GET", "/openapi.json")
    predict = document["paths"]["/v1/models/stranger:predict"]["post"]
    choices = predict["requestBody"]["content"]["application/json"]["schema"]["anyOf"]
    named = [c for c in choices if c["properties"]["signature_name"]["const"] == "named"]
    assert {key for c in named for key in c["properties"]} == {
        "signature_name",
        "inputs",
        "instances",
    }
    repeat = [c for c in choices if c["properties"]["signature_name"]["const"] == "repeat"]
    assert len(repeat) == 1 and "instances" not in repeat[0]["properties"]


def test_our_model_in_rows_is_the_model_in_python(ours, model):
    batch = tiny.make_batch()
    given = {**batch["x"], **{f"{name}_mask": mask for name, mask in batch["mask"].items()}}
    rows = [
        {name: np.asarray(value[i]).tolist() for name, value in given.items()} for i in range(8)
    ]
    status, found = ours.predict(json.dumps({"instances": rows}).encode())
    assert status == 200
    for name, value in model(batch).items():
        served = np.array([row[name] for row in found["predictions"]])
        np.testing.assert_allclose(served, value, atol=1e-5)


def test_our_model_generates_in_columns(ours, model):
    batch = tiny.make_batch()
    masks = {f"{name}_mask": mask for name, mask in batch["mask"].items()}
    draw = {"num_samples": 3, "seed": [4, 5], "temperature": 0.5}
    found = ours.columns("generate", **batch["x"], **masks, **draw)
    expected = model.generate(batch["x"], 3, batch["mask"], seed=[4, 5], temperature=0.5)
    for name, value in expected.items():
        np.testing.assert_allclose(np.array(found[name]), value, atol=1e-5)
    found = ours.columns("decode", z=np.ones([2, tiny.LATENT_DIM]))
    for name, value in model.from_latent(tf.ones([2, tiny.LATENT_DIM])).items():
        np.testing.assert_allclose(np.array(found[name]), value, atol=1e-5)
