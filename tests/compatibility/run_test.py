"""A run of version 0.1.0 can be evaluated and continued."""

import json
import shutil

import numpy as np
import pytest

from tests.compatibility import recorded
from tf_mvae.evaluation import ANALYSES
from tf_mvae.evaluation.settings import Settings
from tf_mvae.training import RunConfig, load_run, train

RUN = recorded.HERE / "0.1.0" / "run"


@pytest.fixture
def run_dir(tmp_path):
    shutil.copytree(RUN, tmp_path / "run")
    return tmp_path / "run"


def test_it_evaluates_to_the_same_numbers(run_dir):
    (expected,) = json.loads((RUN / "evaluation.json").read_text()).values()
    settings = expected["settings"]
    found = ANALYSES["log_likelihood"].analyze(
        load_run(run_dir),
        Settings(max_examples=settings["max_examples"], num_samples=settings["num_samples"]),
    )
    for name, result in expected["results"].items():
        for key in ("value", "standard_error", "effective_sample_size", "log_weight_variance"):
            np.testing.assert_allclose(found[name][key], result[key], rtol=1e-4)


def test_it_goes_on_for_another_epoch(run_dir):
    before = json.loads((run_dir / "finished.json").read_text())
    rows = (run_dir / "metrics.jsonl").read_text().splitlines()
    config = RunConfig.read(run_dir / "flags.cfg")
    summary = train(config.replace(epochs=3), run_dir)
    assert summary["epochs"] == 3 and summary["steps"] == 3 * before["steps"] // 2
    again = (run_dir / "metrics.jsonl").read_text().splitlines()
    assert again[:2] == rows and len(again) == 3
    assert json.loads(again[2])["val_loss"] < json.loads(again[1])["val_loss"]
