"""Trackers get a run's metrics, and a continued run continues its tracker's run."""

import sys
import types

import pytest

from tests.training import tiny_experiment  # noqa: F401  registers the experiment
from tf_mvae.errors import UserError
from tf_mvae.training import RunConfig
from tf_mvae.training.callbacks import MetricsWriter
from tf_mvae.training.run_directory import RunDirectory
from tf_mvae.training.trackers import Trackers, check_trackers

CONFIG = RunConfig("tiny", latent_dim=3, epochs=1, annealing_epochs=1, batch_size=10,
                   data_dir="/home/me", jit_compile=False)  # fmt: skip


@pytest.fixture
def calls(monkeypatch):
    """Stand-ins for mlflow and wandb: what was called, in order."""
    calls = []

    def noted(name, result=None):
        def call(*args, **kwargs):
            calls.append((name, args, kwargs))
            return result

        return call

    mlflow = types.ModuleType("mlflow")
    run = types.SimpleNamespace(info=types.SimpleNamespace(run_id="m1"))
    mlflow.start_run = noted("mlflow.start_run", run)
    for name in ("log_params", "log_metrics", "end_run"):
        setattr(mlflow, name, noted(f"mlflow.{name}"))
    wandb = types.ModuleType("wandb")
    run = types.SimpleNamespace(
        id="w1", log=noted("wandb.log"), finish=noted("wandb.finish")
    )  # fmt: skip
    wandb.init = noted("wandb.init", run)
    for module in (mlflow, wandb):
        module.__spec__ = types.SimpleNamespace()  # `find_spec` finds it
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return calls


def test_a_run_is_tracked_and_continued(calls, tmp_path):
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    directory, trackers = RunDirectory(run_dir), Trackers(["mlflow", "wandb"], run_dir, CONFIG)
    writer = MetricsWriter(directory, dict, 10, 6, 3, trackers=trackers)
    writer.set_params({"epochs": 1})
    writer.on_epoch_end(0, {"kl": 2.5, "val_elbo": -3.5})
    trackers.close()
    assert not directory.tensorboard.exists()
    (written,) = directory.metric_rows()
    by_name = {name: (args, kwargs) for name, args, kwargs in calls}
    assert by_name["mlflow.start_run"][1] == {"run_name": "run"}
    ((params,), _) = by_name["mlflow.log_params"]
    assert params["experiment"] == "tiny" and params["latent_dim"] == "3"
    assert "data_dir" not in params
    for name in ("mlflow.log_metrics", "wandb.log"):
        ((metrics,), when) = by_name[name]
        assert metrics == {"training/kl": written["kl"], "validation/elbo": written["val_elbo"]}
        assert when == {"step": 6}
    assert [name for name, *_ in calls][-2:] == ["mlflow.end_run", "wandb.finish"]

    calls.clear()
    Trackers(["mlflow", "wandb"], run_dir, CONFIG)
    (_, _, first), (_, _, second) = calls
    assert first == {"run_id": "m1"}
    assert (second["id"], second["resume"]) == ("w1", "allow")


def test_what_is_not_there_is_refused_in_one_line(monkeypatch, tmp_path):
    with pytest.raises(
        UserError, match="--tracker=comet is unknown; choose from tensorboard, mlflow, wandb"
    ):
        check_trackers(["comet"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'tf-mvae\[wandb\]'"):
        check_trackers(["tensorboard", "wandb"])
    (tmp_path / "trackers.json").write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        Trackers([], tmp_path, CONFIG)
