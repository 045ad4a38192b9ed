"""The requests of the page, built by its own script in Node.js."""

import json
import pathlib
import shutil
import subprocess

import numpy as np
import pytest

from tests.serving.server_tools import ROOT, serving_export
from tf_mvae import MVAE, Modality, ModalityGroup, likelihoods
from tf_mvae.layers import grouped_mlp_decoder, grouped_mlp_encoder, mlp_decoder, mlp_encoder

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="Node.js is not installed")

PAGE = ROOT / "tf_mvae" / "serving" / "server" / "page"
NAMES = ["columns", "traits"]


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """The page's scripts, in a folder whose files Node.js takes for modules."""
    folder = tmp_path_factory.mktemp("page")
    for name in ("pictures.js", "requests.js"):
        shutil.copy(PAGE / name, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    return folder


def evaluate(scripts: pathlib.Path, expression: str, *values):
    """Returns a value of JavaScript, in which `page` is the module and `values` the arguments."""
    program = (
        f"import * as page from './requests.js'; const values = {json.dumps(values)};"
        f"console.log(JSON.stringify({expression}))"
    )
    (scripts / "program.js").write_text(program)
    done = subprocess.run(
        [NODE, "program.js"], cwd=scripts, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    networks = grouped_mlp_encoder([4], num_classes=2), grouped_mlp_decoder([], [4])
    parts = mlp_encoder([4]), mlp_decoder([3], [4])
    model = MVAE(
        [
            Modality("columns", likelihoods.Normal([3]), *parts, element_mask=True),
            ModalityGroup("traits", ["a", "b"], likelihoods.Bernoulli([]), *networks),
        ],
        latent_dim=2,
    )
    with serving_export(model, tmp_path_factory.mktemp("served") / "tiny", "1") as client:
        yield client


@pytest.mark.parametrize("given", [True, False])
def test_masks_of_tables_and_groups_have_the_signatures_shapes(scripts, client, given):
    about = client.ask("GET", "/v1/page")[2]
    parts = about["description"]["modalities"]
    inputs = {"num_samples": 2}
    for name in NAMES:
        inputs[name] = [np.zeros(parts[name]["shape"]).tolist()]
        mask = "page.maskOf(values[0], values[1], values[2])"
        inputs[f"{name}_mask"] = [evaluate(scripts, mask, about["description"], name, given)]
    assert inputs["columns_mask"] == [[int(given)] * 3] and inputs["traits_mask"] == [
        [int(given)] * 2
    ]
    status, answer = client.predict({"signature_name": "generate", "inputs": inputs})
    assert status == 200 and np.shape(answer["outputs"]["columns"]) == (2, 1, 3)
    takes = "page.takesOnly(values[0], values[1])"
    assert evaluate(scripts, takes, NAMES, about["signatures"]["generate"]["inputs"])


def test_a_mask_of_a_modality_is_one_number_and_covariates_are_not_asked_for(scripts):
    field = {"shape": ["batch"]}
    description = {"signatures": {"generate": {"inputs": {"label_mask": field}}}}
    assert evaluate(scripts, "page.maskOf(values[0], 'label', true)", description) == 1
    draws = {"num_samples": "", "seed": "", "temperature": ""}
    inputs = {"label": "", "label_mask": "", **draws}
    for names, more, taken in (
        (["label"], {}, True),
        ([], {}, False),
        (["label"], {"age": ""}, False),  # a covariate
        (["label", "site"], {"site": ""}, False),  # a condition, which has no mask
    ):
        found = evaluate(scripts, "page.takesOnly(values[0], values[1])", names, inputs | more)
        assert found is taken
