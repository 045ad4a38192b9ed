"""Checkpoints that are written atomically and verified by checksums."""

import concurrent.futures
import dataclasses
import hashlib
import json
import math
import pathlib
import re
import shutil
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from absl import logging

from tf_mvae.errors import UserError
from tf_mvae.files import sync
from tf_mvae.training.averages import averages_of
from tf_mvae.training.divergence import non_finite

__all__ = ["Checkpoints", "Position"]

_MANIFEST = "manifest.json"


@dataclasses.dataclass(frozen=True)
class Position:
    """The progress of a run.

    Attributes:
        step: The number of optimizer steps.
        epoch: The number of complete epochs.
        step_in_epoch: The number of steps of the epoch after these.
        metrics: The metrics of the epoch that ends here, by name; empty within an epoch.
    """

    step: int = 0
    epoch: int = 0
    step_in_epoch: int = 0
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)


class Checkpoints:
    """The checkpoints of a run: the newest few and the best.

    A checkpoint is a folder `step-00001200` with TensorFlow's checkpoint of all variables (weights,
    optimizer, random generators of layers, metrics) and a manifest: the position, and the SHA-256
    of every file and of the rest of the manifest. It is written under a temporary name, flushed to
    the disk and renamed, so a folder `step-…` is complete unless the disk damaged it, which the
    checksums show. A checkpoint with weights, optimizer or validation loss that are not finite
    (earlier versions wrote such) is treated as damaged.

    Training waits only for the copy to host memory; a second thread writes it to the disk, one
    checkpoint at a time.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        model: keras.Model,
        keep: int = 2,
        monitor: str = "val_loss",
    ):
        """Prepares to write and read checkpoints of a built, compiled model.

        Args:
            directory: The directory of all checkpoints; it need not exist.
            model: The model. Its optimizer is saved too if it has been built.
            keep: The number of newest checkpoints to keep.
            monitor: The metric whose smallest value marks the best checkpoint.
        """
        self.directory = directory
        self._keep = keep
        self._monitor = monitor
        self._model = model
        self._model_state = _raw(model.variables)
        self._trainable, self._averages = _raw(model.trainable_variables), averages_of(model)
        # The states of optimizer and metrics are needed only to continue training.
        optimizer = model.optimizer.variables if model.optimizer is not None else []
        metrics = [v for metric in model.metrics for v in metric.variables]
        self._run_state = _raw(optimizer) + _raw(metrics)
        self._copies: dict[str, list[tf.Variable]] | None = None
        self._writer = concurrent.futures.ThreadPoolExecutor(1, "checkpoint")
        self._writing: concurrent.futures.Future | None = None

    def save(self, position: Position) -> None:
        """Copies the state, and writes it in the second thread while training continues.

        After it is written, checkpoints are removed that are neither among the newest nor the best.

        Args:
            position: The progress of the run.

        Raises:
            UserError: The previous checkpoint could not be written; see `join`.
        """
        self.join()
        self._copy()
        self._writing = self._writer.submit(self._write, position)

    def join(self) -> None:
        """Waits until the last saved checkpoint is on the disk.

        Raises:
            UserError: It could not be written, for example because the disk is full.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def close(self) -> None:
        """Waits for the second thread and ends it; `save` cannot be called any more."""
        self._writer.shutdown()

    def _copy(self) -> None:
        """Copies the state to host memory, where training does not change it."""
        state = {"model": self._model_state, "run": self._run_state}
        with tf.device("CPU:0"):
            if self._copies is None:
                self._copies = {
                    part: [tf.Variable(v, trainable=False, name=v.name[:-2]) for v in variables]
                    for part, variables in state.items()
                }
                return
            for part, variables in state.items():
                for copy, variable in zip(self._copies[part], variables, strict=True):
                    copy.assign(variable)

    def _write(self, position: Position) -> None:
        """Writes the copied state; the second thread calls it."""
        final = self.directory / f"step-{position.step:08d}"
        temporary = self.directory / f".{final.name}.tmp"
        try:
            self._write_files(position, temporary, final)
        except (OSError, tf.errors.OpError) as error:
            shutil.rmtree(temporary, ignore_errors=True)
            what = (error.strerror or str(error)) if isinstance(error, OSError) else error.message
            what = what.splitlines()[0].split("; ")[-1].split(" [Op:")[0]  # TensorFlow says more
            whole = self._folders()
            rest = f"continues from {whole[0].name}" if whole else "starts from the beginning"
            raise UserError(
                f"checkpoint {final} cannot be written ({what}); fix this, then the same command "
                f"{rest}"
            ) from error

    def _write_files(
        self, position: Position, temporary: pathlib.Path, final: pathlib.Path
    ) -> None:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        tf.train.Checkpoint(**self._copies).write(str(temporary / "variables"))
        files = {path.name: _sha256(path) for path in sorted(temporary.iterdir())}
        manifest = {"position": dataclasses.asdict(position), "files": files}
        manifest["sha256"] = _sum_of_rest(manifest)
        (temporary / _MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        for path in temporary.iterdir():
            sync(path)
        if final.exists():  # a damaged one, which was skipped when the run was continued
            old = self.directory / f".{final.name}.old"
            _remove(old)
            final.rename(old)
            temporary.rename(final)
            _remove(old)
        else:
            temporary.rename(final)
        sync(self.directory)
        self._remove_old(position.step)

    def restore(self, which: str = "last", model_only: bool = False) -> Position | None:
        """Restores the newest or the best checkpoint that is not damaged.

        A damaged checkpoint is skipped with a warning.

        Args:
            which: `'last'` or `'best'`.
            model_only: Whether to restore only what is evaluated and exported: the weights, or
                their moving averages if the optimizer computes these.

        Returns:
            The checkpoint's position, or None if there is no checkpoint.

        Raises:
            UserError: All checkpoints are damaged, or the last one could not be written (`join`).
        """
        self.join()
        folders = self._folders()
        if which == "best":
            folders.sort(key=self._badness)
        for folder in folders:
            problem = _damage(folder)
            if problem is None:
                position = _position(_manifest(folder))
                self._read(folder, model_only)
                problem = self._not_finite(position, model_only)
                if problem is None:
                    return position
            logging.warning("checkpoint %s is damaged (%s): taking an older one", folder, problem)
        if folders:
            raise UserError(
                f"all checkpoints in {self.directory} are damaged; start again with another "
                "--run_dir"
            )
        return None

    def newest(self) -> str | None:
        """Returns the name of the newest checkpoint, or None; waits for `join` first."""
        self.join()
        return next((folder.name for folder in self._folders()), None)

    def _read(self, folder: pathlib.Path, model_only: bool) -> None:
        """Restores the variables from a checkpoint."""
        path = str(folder / "variables")
        try:
            if model_only and self._averages is None:
                status = tf.train.Checkpoint(model=self._model_state).read(path)
                status.expect_partial().assert_existing_objects_matched()
            else:
                state = tf.train.Checkpoint(model=self._model_state, run=self._run_state)
                state.read(path).assert_consumed()
        except (AssertionError, ValueError, tf.errors.OpError) as error:
            raise UserError(
                f"checkpoint {folder} does not fit the model of this run's flags; it is from "
                f"other flags or another version ({str(error).strip().splitlines()[0]})"
            ) from error
        if model_only and self._averages is not None:
            for variable, average in zip(self._trainable, self._averages, strict=True):
                variable.assign(average)

    def _not_finite(self, position: Position, weights_only: bool) -> str | None:
        """Returns a message about a part of the restored state that is not finite, or None."""
        if not math.isfinite(position.metrics.get(self._monitor, 0.0)):
            return f"its {self._monitor} is {position.metrics[self._monitor]}"
        name = non_finite(self._model, weights_only)
        return name and f"{name} is not finite"

    def _folders(self) -> list[pathlib.Path]:
        """Returns all checkpoints, newest first."""
        if not self.directory.is_dir():
            return []
        names = [p for p in self.directory.iterdir() if re.fullmatch(r"step-\d{8,}", p.name)]
        return sorted(names, key=lambda path: path.name, reverse=True)

    def _badness(self, folder: pathlib.Path) -> float:
        """Returns the monitored metric; infinity if it is NaN or missing, or a file is damaged."""
        try:
            value = _position(_manifest(folder)).metrics.get(self._monitor, math.inf)
        except (OSError, ValueError):
            return math.inf
        return value if math.isfinite(value) else math.inf

    def _remove_old(self, step: int) -> None:
        """Removes all checkpoints but the newest few and the best."""
        for leftover in self.directory.glob(".step-*"):
            _remove(leftover)
        # Checkpoints of later steps are damaged (they were skipped); they are replaced in time.
        folders = [f for f in self._folders() if int(f.name.removeprefix("step-")) <= step]
        best = min(folders, key=self._badness)
        for folder in folders[self._keep :]:
            if folder != best:
                _remove(folder)


def _raw(variables: Sequence[Any]) -> list[tf.Variable]:
    return [variable.value for variable in variables]


def _remove(path: pathlib.Path) -> None:
    """Removes a folder or a file."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _manifest(folder: pathlib.Path) -> dict[str, Any]:
    """Reads a manifest.

    Raises:
        OSError: The file is missing.
        ValueError: The file is not JSON, or not a manifest.
    """
    manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    # Manifests of older runs have no checksum of their own.
    strange = not isinstance(manifest, dict) or set(manifest) - {"position", "files", "sha256"}
    if strange or not isinstance(manifest.get("files"), dict):
        raise ValueError(f"{_MANIFEST} is not what was written")
    return manifest


def _position(manifest: dict[str, Any]) -> Position:
    """Returns the position in a manifest; raises ValueError if it is not valid."""
    try:
        position = Position(**manifest["position"])
        numbers = (position.step, position.epoch, position.step_in_epoch)
        metrics = position.metrics.values()
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{_MANIFEST} has no position") from error
    whole = all(isinstance(number, int) and number >= 0 for number in numbers)
    if not whole or not all(isinstance(value, int | float) for value in metrics):
        raise ValueError(f"{_MANIFEST} has no position")
    return position


def _damage(folder: pathlib.Path) -> str | None:
    """Returns a message about the damage of a checkpoint, or None if it is complete."""
    try:
        manifest = _manifest(folder)
        digest = _sum_of_rest(manifest)
        if manifest.get("sha256", digest) != digest:
            return f"{_MANIFEST} is not what was written"
        if not {"variables.index", "variables.data-00000-of-00001"} <= set(manifest["files"]):
            return f"{_MANIFEST} does not list the files of a checkpoint"
        for name, digest in manifest["files"].items():
            if _sha256(folder / name) != digest:
                return f"{name} is not what was written"
        _position(manifest)
    except OSError as error:
        return f"{pathlib.Path(error.filename or folder).name}: {error.strerror}"
    except ValueError as error:
        return f"{_MANIFEST}: {error}"
    return None


def _sum_of_rest(manifest: dict[str, Any]) -> str:
    """Returns the checksum of a manifest without its own checksum."""
    rest = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _sha256(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
