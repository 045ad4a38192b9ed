"""Experiment trackers, which a run logs its metrics to: TensorBoard, MLflow, Weights & Biases.

This module imports neither TensorFlow nor a tracker at first, so that flags are checked quickly.
"""

import importlib
import importlib.util
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from tf_mvae import files
from tf_mvae.errors import UserError
from tf_mvae.extras import not_installed
from tf_mvae.settings import Setting
from tf_mvae.training.config import RunConfig

__all__ = ["SETTINGS", "Trackers", "check_trackers"]

SETTINGS = (
    Setting(
        "tracker",
        ("tensorboard",),
        "Trackers that get the metrics in addition to metrics.jsonl: tensorboard (in the "
        "run's directory), mlflow and wandb (configured by their environment variables; "
        "extras of these names). Empty: none.",
        is_recorded=False,
    ),
)
_PROJECT = "tf_mvae"


class _MLflow:
    """Logs to an MLflow run; `identity` is its id, None for a new run."""

    def __init__(self, name: str, settings: Mapping[str, str], identity: str | None):
        self._client = importlib.import_module("mlflow")
        if identity is None:
            run = self._client.start_run(run_name=name)
            self._client.log_params(dict(settings))
        else:
            run = self._client.start_run(run_id=identity)
        self.identity = run.info.run_id

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        self._client.log_metrics(dict(metrics), step=step)

    def close(self) -> None:
        self._client.end_run()


class _WandB:
    """Logs to a Weights & Biases run; `identity` is its id, None for a new run."""

    def __init__(self, name: str, settings: Mapping[str, str], identity: str | None):
        self._run = importlib.import_module("wandb").init(
            project=_PROJECT, name=name, config=dict(settings), id=identity, resume="allow"
        )
        self.identity = self._run.id

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        self._run.log(dict(metrics), step=step)

    def close(self) -> None:
        self._run.finish()


_CLIENTS = {"mlflow": _MLflow, "wandb": _WandB}
_NAMES = ("tensorboard", *_CLIENTS)


def check_trackers(names: Sequence[str]) -> None:
    """Checks that trackers exist and are installed.

    Args:
        names: The names of trackers.

    Raises:
        UserError: A tracker does not exist or is not installed.
    """
    for name in names:
        if name not in _NAMES:
            raise UserError(f"--tracker={name} is unknown; choose from {', '.join(_NAMES)}")
        if name in _CLIENTS and importlib.util.find_spec(name) is None:
            raise not_installed(f"--tracker={name}", name, name)


class Trackers:
    """The trackers of a run.

    The ids that trackers give to the run are stored in `trackers.json` of the run directory, so
    that a continued run continues the same run of each tracker.

    Attributes:
        tensorboard: Whether TensorBoard is among them; the run writes its event files itself.
    """

    def __init__(self, names: Sequence[str], run_dir: pathlib.Path, config: RunConfig):
        """Opens the run at each tracker, or continues it there.

        Args:
            names: The names of trackers.
            run_dir: The run directory; its name is the name of the run.
            config: The run's configuration. Its settings are logged, except directories on this
                machine.

        Raises:
            UserError: A tracker does not exist or is not installed, or `trackers.json` is damaged.
        """
        check_trackers(names)
        self.tensorboard = "tensorboard" in names
        path = run_dir / "trackers.json"
        kept = _read(path)
        settings = {"experiment": config.experiment, "model": config.model}
        settings |= {s.name: s.text(v) for s, v in config.items() if not s.is_place}
        self._clients = {
            name: _CLIENTS[name](run_dir.name, settings, kept.get(name))
            for name in names
            if name in _CLIENTS
        }
        found = kept | {name: client.identity for name, client in self._clients.items()}
        if found != kept:
            files.write_text(path, json.dumps(found, indent=1))

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Logs the metrics of an epoch.

        Args:
            metrics: Metrics by TensorBoard's names, such as `training/kl`.
            step: The optimizer step.
        """
        for client in self._clients.values():
            client.log(metrics, step)

    def close(self) -> None:
        """Ends the connections."""
        for client in self._clients.values():
            client.close()


def _read(path: pathlib.Path) -> dict[str, Any]:
    try:
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); remove it to begin new runs") from error
    return kept
