"""Statuses, next to TensorFlow Serving's.

TensorFlow Serving's are those of its source: the patterns of paths in `http_rest_api_util.cc`,
the statuses in `http_server.cc`, the checks in `json_tensor.cc`. docs/server.md lists those that
differ.
"""

import json
import pathlib
import re

import pytest
import tensorflow as tf

from tests.serving.server_tools import save_stranger, serving
from tf_mvae.serving.server.errors import from_tensorflow

DOCUMENT = (pathlib.Path(__file__).parents[2] / "docs" / "server.md").read_text()
BASE = "/v1/models/stranger"
PREDICT = f"{BASE}:predict"
GOOD = {"instances": [[1, 2]]}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    base = tmp_path_factory.mktemp("served")
    save_stranger(base / "3")
    with serving(base, labels={"stable": 3}) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", BASE, None, 200),
        ("GET", f"{BASE}/versions/3", None, 200),
        ("GET", f"{BASE}/labels/stable", None, 200),
        ("GET", f"{BASE}/metadata", None, 200),
        ("GET", f"{BASE}?verbose=1", None, 200),
        ("GET", "/v1/models/other", None, 404),
        ("GET", f"{BASE}/versions/9", None, 404),
        ("GET", f"{BASE}/versions/9/metadata", None, 404),
        ("GET", f"{BASE}/labels/none", None, 400),
        ("GET", f"{BASE}/versions/99999999999999999999", None, 400),
        ("GET", f"{BASE}/versions/three", None, 400),
        ("GET", f"{BASE}/versions/{'9' * 5000}", None, 400),
        ("GET", f"{BASE}/versions/003", None, 200),
        ("GET", f"{BASE}/versions/", None, 400),
        ("GET", f"{BASE}/", None, 400),
        ("GET", f"{BASE}/versions/3/labels/stable", None, 400),
        ("GET", "/v1/models", None, 400),
        ("GET", "/v1/models/", None, 400),
        ("GET", "/v1/nothing", None, 400),
        ("POST", "/v1/nothing", GOOD, 400),
        ("GET", "/nothing", None, 404),
        ("POST", "/v2/models/stranger:predict", GOOD, 404),
        ("POST", PREDICT, GOOD, 200),
        ("POST", f"{BASE}/versions/3:predict", GOOD, 200),
        ("POST", f"{BASE}/labels/stable:predict", GOOD, 200),
        ("POST", f"{BASE}/versions/9:predict", GOOD, 404),
        ("POST", f"{BASE}/versions/99999999999999999999:predict", GOOD, 400),
        ("POST", f"{BASE}/labels/none:predict", GOOD, 400),
        ("POST", "/v1/models/other:predict", GOOD, 404),
        ("POST", f"{BASE}:guess", GOOD, 400),
        ("POST", f"{BASE}:classify", {"examples": [{"x": 1}]}, 400),
        ("POST", f"{BASE}:regress", {"examples": [{"x": 1}]}, 400),
        ("POST", PREDICT, b"", 400),
        ("POST", PREDICT, b"[]", 400),
        ("POST", PREDICT, {}, 400),
        ("POST", PREDICT, {"instances": []}, 400),
        ("POST", PREDICT, {"instances": [[1, 2]], "inputs": [[1, 2]]}, 400),
        ("POST", PREDICT, {"signature_name": "none", "instances": [1]}, 400),
        ("POST", PREDICT, {"signature_name": 1, "instances": [1]}, 400),
        ("POST", PREDICT, {"instances": [["a", 2]]}, 400),
        ("POST", PREDICT, {"instances": [{"y": [1, 2]}]}, 400),
        ("POST", PREDICT, {"signature_name": "picky", "instances": [1.5]}, 400),
        ("POST", PREDICT, {"signature_name": "picky", "instances": [7]}, 400),
        ("POST", PREDICT, {"signature_name": "repeat", "instances": [{"x": 1, "times": 2}]}, 400),
    ],
)
def test_statuses_are_tensorflow_servings(client, method, path, body, status):
    found, _, answer = client.ask(method, path, body)
    assert found == status, answer
    assert status == 200 or answer["error"]


# (method, path, body), TensorFlow Serving's status, this server's.
DIFFERENT = {
    "method": ("GET", PREDICT, None, 400, 405),
    "no name": ("POST", "/v1/models/:predict", GOOD, 400, 405),
    "status by POST": ("POST", BASE, GOOD, 400, 405),
    "other methods": ("PUT", PREDICT, GOOD, 400, 405),
    "HEAD": ("HEAD", BASE, None, 400, 200),
    "OPTIONS": ("OPTIONS", PREDICT, None, 400, 405),
    "upper case": ("POST", "/V1/MODELS/stranger:PREDICT", GOOD, 200, 404),
    "unknown column": ("POST", PREDICT, {"inputs": {"x": [[1, 2]], "y": 1}}, 200, 400),
    "too large": ("POST", PREDICT, {"instances": [[1e300, 2]]}, 200, 400),
    "after the end": ("POST", PREDICT, b'{"instances": [[1, 2]]} x', 200, 400),
    "too many": ("POST", PREDICT, {"instances": [[1, 2]] * 4097}, 200, 400),
    "too long": ("POST", PREDICT, b" " * (17 << 20), 400, 413),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_those_that_differ_are_documented(client, name):
    method, path, body, theirs, ours = DIFFERENT[name]
    assert client.ask(method, path, body)[0] == ours
    section = DOCUMENT.partition("## Statuses")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.*) \| (\d+) \| (\d+) \|$", section, re.M)
    assert (str(theirs), str(ours)) in {row[1:] for row in rows}, section


def test_errors_of_the_model_have_tensorflow_servings_statuses():
    """`ToHTTPStatusCode` of http_server.cc."""
    wanted = {
        "InvalidArgument": 400, "DeadlineExceeded": 504, "NotFound": 404, "AlreadyExists": 409,
        "PermissionDenied": 403, "ResourceExhausted": 429, "FailedPrecondition": 400,
        "Aborted": 409, "OutOfRange": 400, "Unimplemented": 501, "Internal": 500,
        "Unavailable": 503, "DataLoss": 500, "Unauthenticated": 401, "Unknown": 500,
        "Cancelled": 499,
    }  # fmt: skip
    found = {
        name: from_tensorflow(getattr(tf.errors, f"{name}Error")(None, None, "why")).status
        for name in wanted
    }
    assert found == wanted


def test_the_error_is_json_under_its_one_key(client):
    for path in ("/v1/nothing", "/nothing", f"{BASE}/versions/9"):
        _, headers, found = client.ask("GET", path)
        assert headers["content-type"] == "application/json"
        assert list(found) == ["error"] and json.dumps(found)
