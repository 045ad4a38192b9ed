"""A C program, without Python, runs every signature of exports and agrees with Python."""

import os
import shutil
import subprocess

import numpy as np
import pytest

from tests.group_test import grouped
from tests.serving import native, shaped
from tf_mvae.serving import export_saved_model

MASKED = ("serving_default", "encode", "generate", "log_likelihood")


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    compiler = os.environ.get("CC", "cc")
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no C compiler ({compiler})")
    path = tmp_path_factory.mktemp("c") / "run_saved_model"
    native.build(path)
    return path


# A session takes seconds to prepare a signature of a group, and of 26 modalities.
@pytest.fixture(
    params=["digits", *(pytest.param(name, marks=pytest.mark.long) for name in ("group", "emoji"))]
)
def export(request, tmp_path):
    if request.param == "digits":
        return request.getfixturevalue("digits_export")
    model = shaped.emoji_shaped() if request.param == "emoji" else grouped()
    export_saved_model(model, tmp_path / request.param)
    return tmp_path / request.param


def test_every_signature_agrees(program, export, tmp_path):
    # Signatures without masks differ in nothing but that, and run for the digits.
    sisters = [f"{name}_all_present" for name in MASKED] if export.name == "emoji" else []
    differences = native.compare(program, export, tmp_path, skip=sisters)
    assert len(differences) == 11 - len(sisters)
    assert all(difference <= 1e-5 for difference in differences.values()), differences


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
