"""The README's section on serving runs as it stands."""

import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

README = (pathlib.Path(__file__).parents[2] / "README.md").read_text()
SECTION = README.split("\n## Serving\n")[1].split("\n## ")[0]


@pytest.fixture
def place(digits_export, tmp_path, monkeypatch):
    """A directory with a run's SavedModel where the README looks for it."""
    (tmp_path / "runs" / "quickstart").mkdir(parents=True)
    (tmp_path / "runs" / "quickstart" / "saved_model").symlink_to(digits_export)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_program_generates(place):
    (program,) = re.findall(r"```python\n(.*?)```", SECTION, re.S)
    names = {}
    exec(compile(program, "README.md", "exec"), names)
    assert names["images"].shape == (16, 1, 28, 28, 1)


def test_the_commands_of_saved_model_cli_show_and_run(place, digits_model):
    (commands,) = (
        block for block in re.findall(r"```sh\n(.*?)```", SECTION, re.S) if "_cli" in block
    )
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
