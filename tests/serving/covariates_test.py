"""Models with covariates outside Python: ONNX, and the server's REST API."""

import json

import numpy as np
import pytest

from tests import tiny
from tests.inference.covariates_test import LATENT, ROWS, make_batch, make_model
from tests.serving.server_tools import serving
from tf_mvae.serving import export_format, export_saved_model

GIVEN = ("site", "age", "depth")


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def inputs(model):
    """Arrays of the types that exports take, and every modality."""
    integers = {"site": np.int32, "kind": np.int32}
    x = {n: np.asarray(v, integers.get(n, np.float32)) for n, v in make_batch()["x"].items()}
    return x | {f"{m.name}_mask": np.ones([ROWS], np.float32) for m in model.modalities}


def test_onnx_takes_covariates(model, inputs, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    place, _ = export_format(model, tmp_path / "out", "onnx")
    noise = np.zeros([1, ROWS, LATENT], np.float32)
    every = {**inputs, "noise": noise, "temperature": np.array(1, np.float32)}
    session = runtime.InferenceSession(place / "generate.onnx")
    assert set(GIVEN) <= {part.name for part in session.get_inputs()}
    values = session.run(None, {part.name: every[part.name] for part in session.get_inputs()})
    found = dict(zip([o.name for o in session.get_outputs()], values, strict=True))
    x = {name: inputs[name] for name in make_batch()["x"]}
    z = model.posterior(x).mean()
    tiny.assert_close(found["z"][0], z)
    tiny.assert_close(found["expected_rna"][0], model.from_latent(z, given=x)["rna"])
    # Counts are the size factor's times as many.
    twice = {**every, "depth": 2 * every["depth"]}
    session = runtime.InferenceSession(place / "decode.onnx")
    names = [part.name for part in session.get_inputs()]
    one, other = (
        session.run(["expected_rna"], {name: {**e, "z": z.numpy()}[name] for name in names})[0]
        for e in (every, twice)
    )
    tiny.assert_close(other, 2 * one)


def test_the_server_takes_covariates_and_names_one_that_is_missing(model, inputs, tmp_path):
    export_saved_model(model, tmp_path / "cells")
    x = {name: inputs[name] for name in make_batch()["x"]}
    with serving(tmp_path / "cells", "cells") as client:
        draw = {"num_samples": 2, "seed": [4, 5], "temperature": 0.5}
        found = client.columns("generate", **inputs, **draw)
        expected = model.generate(x, 2, seed=[4, 5], temperature=0.5)
        np.testing.assert_allclose(np.array(found["rna"]), expected["rna"], rtol=1e-4, atol=1e-4)
        given = {name: inputs[name] for name in GIVEN if name != "age"}
        body = {name: value.tolist() for name, value in given.items()}
        body["z"] = np.zeros([ROWS, LATENT]).tolist()
        status, answer = client.predict(
            json.dumps({"signature_name": "decode", "inputs": body}).encode()
        )
        assert status == 400 and "age" in answer["error"]
