"""A model and an experiment of another package, `package.module:name`, in all commands."""

import json
import os
import pathlib

import pytest

from tests import processes
from tests.serving.server_tools import started

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
NAMES = ["--experiment=outside.parts:clusters", "--model=outside.parts:Aligned"]


def run(name, *flags, status=0):
    paths = [str(HERE), str(ROOT)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = processes.run("-m", f"tf_mvae.{name}", *flags, env=environment)
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--noise=-1"], "error: --noise must be a finite number above 0; it is -1.0"),
        (["--nois=1"], "error: Unknown command line flag 'nois'. Did you mean: noise"),
        (["--alpha=0.5"], "--alpha is for --model=jmvae; --model=outside.parts:Aligned does not"),
        (["--model=outside.parts:x"], "outside.parts declares no model 'x'; it declares aligned"),
    ],
)
def test_a_wrong_flag_of_theirs_is_refused_as_ours_are(flags, words):
    said = run("train", *NAMES, *flags, status=2)
    assert words in said and len(said.splitlines()) == 1


def test_every_command_works_with_them(tmp_path):
    (tmp_path / "run.cfg").write_text("\n".join([*NAMES, "--noise=0.2", "--pull=0.5"]))
    run_dir = f"--run_dir={tmp_path}/run"
    usual = ["--epochs=1", "--latent_dim=2", "--batch_size=50", "--jit_compile=false"]
    run("train", f"--flagfile={tmp_path}/run.cfg", run_dir, *usual)
    kept = (tmp_path / "run" / "flags.cfg").read_text().splitlines()
    assert {*NAMES, "--noise=0.2", "--pull=0.5", "--latent_dim=2"} <= {*kept}
    assert "kind | value" in run("evaluate", run_dir)
    assert "5 samples" in run("generate", run_dir, "--num_samples=5", "--condition=kind=1")
    run("export", run_dir, f"--output_dir={tmp_path}/served/theirs")
    card = tmp_path / "served" / "theirs" / "1" / "assets.extra" / "model_card.json"
    assert json.loads(card.read_text())["flags"]["pull"] == 0.5
    with started(f"--model_dir={tmp_path}/served/theirs", name="theirs") as (_, client, _):
        status, found = client.predict({"instances": [{"kind": 1, "value": [0.5, 1.0]}]})
        assert status == 200, found
