"""A C program, without Python, runs every signature of exports and agrees with Python."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.serving import shaped
from tf_mvae.serving import example_inputs, export_saved_model

HERE = pathlib.Path(__file__).parent


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    compiler = os.environ.get("CC", "cc")
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no C compiler ({compiler})")
    path = tmp_path_factory.mktemp("c") / "run_saved_model"
    subprocess.run(
        ["bash", HERE / "c" / "build.sh", path],
        check=True,
        env={**os.environ, "PYTHON": sys.executable, "CC": compiler},
    )
    return path


@pytest.fixture(params=["digits", "emoji"])
def export(request, tmp_path):
    if request.param == "digits":
        return request.getfixturevalue("digits_export")
    export_saved_model(shaped.emoji_shaped(), tmp_path / "emoji")
    return tmp_path / "emoji"


def test_every_signature_agrees(program, export, tmp_path):
    described = json.loads((export / "assets.extra" / "tf_mvae.json").read_text())
    served = tf.saved_model.load(str(export)).signatures
    expected = {}
    for name in served:
        inputs = example_inputs(described, name, batch=2, seed=7)
        for key in inputs:
            if key.endswith("_mask"):
                inputs[key][0] = 0
        place = tmp_path / "in" / name
        place.mkdir(parents=True)
        for key, value in inputs.items():
            np.save(place / f"{key}.npy", value)
        expected[name] = served[name](**{k: tf.constant(value) for k, value in inputs.items()})
    run = subprocess.run(
        [program, export, tmp_path / "in", tmp_path / "out"], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert set(run.stdout.split()) == set(expected)
    for name, outputs in expected.items():
        files = {path.stem: np.load(path) for path in (tmp_path / "out" / name).iterdir()}
        assert set(files) == set(outputs)
        for key, value in outputs.items():
            assert files[key].shape == value.shape
            # To 1e-5, or as closely as numbers of their size go in float32: a
            # log-likelihood of -9,000 nats is a sum of thousands.
            np.testing.assert_allclose(files[key], value, rtol=1e-5, atol=1e-5)


def test_inputs_that_are_left_out_are_the_defaults(program, digits_export, digits_model, tmp_path):
    place = tmp_path / "in" / "generate"
    place.mkdir(parents=True)
    np.save(place / "label.npy", np.array([7, 2], np.int32))
    subprocess.run([program, digits_export, tmp_path / "in", tmp_path / "out"], check=True)
    expected = digits_model.generate({"label": [7, 2]}, seed=[0, 0])
    for key, value in expected.items():
        answer = np.load(tmp_path / "out" / "generate" / f"{key}.npy")
        np.testing.assert_allclose(answer, value, atol=1e-5)


def test_what_is_wrong_is_told(program, digits_export, tmp_path):
    (tmp_path / "in" / "decode").mkdir(parents=True)
    command = [program, digits_export, tmp_path / "in", tmp_path / "out"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 2 and "neither a file nor a default" in run.stderr
    (tmp_path / "in" / "no_signature").mkdir()
    (tmp_path / "in" / "decode").rmdir()
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 2 and "lacks a signature" in run.stderr
