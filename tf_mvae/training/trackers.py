"""Trackers of experiments: where the metrics of a run go in addition to its directory.

This module imports neither TensorFlow nor a tracker, so that flags are checked quickly.
"""

import importlib
import importlib.util
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from tf_mvae import files
from tf_mvae.errors import UserError
from tf_mvae.settings import Setting
from tf_mvae.training.config import RunConfig

__all__ = ["SETTINGS", "Trackers", "check_trackers"]

SETTINGS = (
    Setting(
        "tracker",
        ("tensorboard",),
        "Where metrics go in addition to metrics.jsonl: tensorboard (the run's directory), mlflow "
        "and wandb (as their environment variables say; extras of these names). Empty: nowhere.",
        is_recorded=False,
    ),
)
_PROJECT = "tf_mvae"


class _MLflow:
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
    """Raises `UserError` if a tracker does not exist or is not installed."""
    for name in names:
        if name not in _NAMES:
            raise UserError(f"--tracker takes {', '.join(_NAMES)}; it is {name!r}")
        if name in _CLIENTS and importlib.util.find_spec(name) is None:
            raise UserError(f"--tracker={name} needs a package: pip install 'tf-mvae[{name}]'")


class Trackers:
    """The trackers of a run.

    Each one's name of the run is kept in `trackers.json` of the run directory, so that a run that
    is continued is continued there as well.

    Attributes:
        tensorboard: Whether TensorBoard is among them. It needs no connection: the run writes its
            files.
    """

    def __init__(self, names: Sequence[str], run_dir: pathlib.Path, config: RunConfig):
        """Opens the run at each tracker, or continues it there.

        Args:
            names: Of trackers.
            run_dir: The run directory, whose name the run gets.
            config: Its settings are logged, without places on this machine.

        Raises:
            UserError: A tracker does not exist, is not installed, or the kept file is damaged.
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
        """Logs an epoch's metrics at an optimizer step."""
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
