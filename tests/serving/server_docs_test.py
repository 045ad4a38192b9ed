"""The commands of docs/server.md run, and its flags and metrics exist."""

import json
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import prometheus_client.parser
import pytest

from tests import pages
from tests.serving.server_tools import serving
from tf_mvae import MVAE, Modality, likelihoods
from tf_mvae.serving import export_saved_model

ROOT = pathlib.Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "server.md").read_text()


@pytest.fixture(scope="module")
def model():
    image = Modality("image", likelihoods.Bernoulli([28, 28, 1]))
    return MVAE([image, Modality("label", likelihoods.Categorical(10))], latent_dim=64)


@pytest.fixture(scope="module")
def client(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "digits"
    export_saved_model(model, folder / "1")
    with serving(folder, "digits") as client:
        yield client


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl is installed")
def test_the_commands_run_and_answer_as_the_model_does(client, model):
    commands = re.findall(r"<!-- a test runs this -->\n```sh\n(.*?)```", DOCUMENT, re.S)
    answers = []
    for command in commands:
        command = command.replace("localhost:8501", f"{client.address[0]}:{client.address[1]}")
        command = command.replace("python -c", f"{sys.executable} -c")
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
        answers.append(json.loads(done.stdout))
    status, generated, decoded = answers
    assert status["model_version_status"][0]["state"] == "AVAILABLE"
    given = {"image": np.zeros([1, 28, 28, 1], np.float32), "label": np.array([7], np.int32)}
    mask = {"image": [0.0], "label": [1.0]}
    expected = model.generate(given, 4, mask, seed=[1, 0], temperature=1.0)
    for name in ("image", "label"):
        np.testing.assert_allclose(generated["outputs"][name], expected[name], atol=1e-5)
    expected = model.from_latent(np.zeros([1, 64], np.float32))
    np.testing.assert_allclose(decoded["predictions"][0]["image"], expected["image"][0], atol=1e-5)


def test_the_client_of_the_tutorial_gets_labels_and_images(client):
    (program,) = pages.programs("docs/tutorials/serve.md")
    names = {}
    exec(program.replace("localhost:8501", f"{client.address[0]}:{client.address[1]}"), names)
    assert sum(names["probabilities"]) == pytest.approx(1, abs=1e-5)
    assert np.shape(names["sevens"]) == (4, 1, 28, 28, 1)


def test_the_flags_and_their_defaults_are_those_that_there_are():
    program = (
        "import sys, json; sys.argv[0] = '-m'; from absl import flags; from tf_mvae import serve;"
        "own = flags.FLAGS.get_flags_for_module('tf_mvae.serve');"
        "print(json.dumps({f.name: f.default for f in own}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    flags = json.loads(done.stdout)
    rows = re.findall(r"^\| (`--.*?) \| (.*?) ?\|", DOCUMENT, re.M)
    described = {}
    for names, defaults in rows:
        names = re.findall(r"--(?:\[no\])?(\w+)", names)
        values = defaults.split(", ") if len(names) > 1 else [defaults] * len(names)
        described |= dict(zip(names, values, strict=True))
    assert set(described) == set(flags)
    for name, value in flags.items():
        if name != "model_name":  # the directory's
            assert described[name] == written(value), name


def written(value):
    """A default as the table has it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value in (None, []) else str(value)


def test_the_metrics_are_those_that_there_are(client):
    text = client.ask("GET", "/metrics")[2].decode()
    found = {f.name for f in prometheus_client.parser.text_string_to_metric_families(text)}
    ours = {name.removesuffix("_created") for name in found if name.startswith("tf_mvae")}
    described = set(re.findall(r"`(tf_mvae_\w+?)(?:_total)?(?:\{|`)", DOCUMENT))
    assert ours == described
