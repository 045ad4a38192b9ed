"""The programs of docs/serving.md run unchanged."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest

from tests import pages

PAGE = (pages.ROOT / "docs" / "serving.md").read_text(encoding="utf-8")


@pytest.fixture
def place(digits_export, tmp_path, monkeypatch):
    """A directory with a run's SavedModel where the page looks for it."""
    (tmp_path / "runs" / "quickstart").mkdir(parents=True)
    (tmp_path / "runs" / "quickstart" / "saved_model").symlink_to(digits_export)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_program_generates(place):
    names = pages.run("docs/serving.md")
    assert names["images"].shape == (16, 1, 28, 28, 1)


def test_the_commands_of_saved_model_cli_show_and_run(place, digits_model):
    (commands,) = (block for block in re.findall(r"```sh\n(.*?)```", PAGE, re.S) if "_cli" in block)
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    shown = subprocess.run(
        ["bash", "-euc", commands],
        check=True,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    for name in ("serving_default", "generate_all_present", "log_likelihood", "sample"):
        assert f"signature_def['{name}']" in shown
    expected = digits_model.generate({"label": [7]}, 16, seed=[0, 0])
    for name, value in expected.items():
        np.testing.assert_allclose(np.load(place / "generated" / f"{name}.npy"), value, atol=1e-5)
