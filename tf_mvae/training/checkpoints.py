"""Checkpoints that are whole or not there, and say so."""

import concurrent.futures
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import shutil
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from absl import logging

from tf_mvae.errors import UserError
from tf_mvae.training.averages import averages_of

__all__ = ["Checkpoints", "Position"]

_MANIFEST = "manifest.json"


@dataclasses.dataclass(frozen=True)
class Position:
    """Where a run stands.

    Attributes:
        step: Optimizer steps taken.
        epoch: Whole epochs done.
        step_in_epoch: Steps taken of the epoch after them.
        metrics: Those of the epoch that ends here, by name; none within an epoch.
    """

    step: int = 0
    epoch: int = 0
    step_in_epoch: int = 0
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)


class Checkpoints:
    """The checkpoints of a run: the newest few and the best.

    A checkpoint is a folder `step-00001200` with TensorFlow's checkpoint of every
    variable (weights, optimizer, random generators of layers, metrics) and a manifest:
    the position, and the SHA-256 of every file and of the rest of the manifest. It is
    written under another name, synced, and renamed, so that a name that reads `step-…` is
    whole unless the disk damaged it, which the sums tell.

    Training waits for the copy to host memory only: another thread writes it, one
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
            directory: Where they are, or will be.
            model: Its optimizer is built where it is to be saved too.
            keep: How many of the newest to keep.
            monitor: The metric whose least value marks the best.
        """
        self.directory = directory
        self._keep = keep
        self._monitor = monitor
        self._model_state = _raw(model.variables)
        self._trainable, self._averages = _raw(model.trainable_variables), averages_of(model)
        # The optimizer's and the metrics' state matter to a run that goes on only.
        optimizer = model.optimizer.variables if model.optimizer is not None else []
        metrics = [v for metric in model.metrics for v in metric.variables]
        self._run_state = _raw(optimizer) + _raw(metrics)
        self._copies: dict[str, list[tf.Variable]] | None = None
        self._writer = concurrent.futures.ThreadPoolExecutor(1, "checkpoint")
        self._writing: concurrent.futures.Future | None = None

    def save(self, position: Position) -> None:
        """Copies everything and has it written while training goes on.

        Then those checkpoints are removed that are neither new nor the best.

        Raises:
            UserError: The one before could not be written; see `join`.
        """
        self.join()
        self._copy()
        self._writing = self._writer.submit(self._write, position)

    def join(self) -> None:
        """Waits until what was saved last is on the disk.

        Raises:
            UserError: It could not be written, because the disk is full, say.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

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
        final = self.directory / f"step-{position.step:08d}"
        temporary = self.directory / f".{final.name}.tmp"
        try:
            self._write_files(position, temporary, final)
        except (OSError, tf.errors.OpError) as error:
            shutil.rmtree(temporary, ignore_errors=True)
            what = (error.strerror or str(error)) if isinstance(error, OSError) else error.message
            what = what.splitlines()[0].split("; ")[-1].split(" [Op:")[0]  # TensorFlow says more
            whole = self._folders()
            rest = f"goes on from {whole[0].name}" if whole else "starts from the beginning"
            raise UserError(
                f"checkpoint {final} cannot be written ({what}); mend that, and the same command "
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
            _sync(path)
        if final.exists():  # a damaged one, passed over when the run was taken up
            old = self.directory / f".{final.name}.old"
            shutil.rmtree(old, ignore_errors=True)
            final.rename(old)
            temporary.rename(final)
            shutil.rmtree(old)
        else:
            temporary.rename(final)
        _sync(self.directory)
        self._remove_old()

    def restore(self, which: str = "last", model_only: bool = False) -> Position | None:
        """Restores the newest or the best whole checkpoint.

        A damaged one is named in a warning, and the next one is taken.

        Args:
            which: `'last'` or `'best'`.
            model_only: Whether to restore what is evaluated and exported alone: the weights,
                or their moving averages where the optimizer keeps these.

        Returns:
            Its position, or None where there is no checkpoint at all.

        Raises:
            UserError: There are checkpoints, but none is whole; or `join`'s.
        """
        self.join()
        folders = self._folders()
        if which == "best":
            folders.sort(key=self._badness)
        for folder in folders:
            problem = _damage(folder)
            if problem is None:
                return self._read(folder, model_only)
            logging.warning("checkpoint %s is damaged (%s): taking an older one", folder, problem)
        if folders:
            raise UserError(
                f"no checkpoint in {self.directory} is whole; start again with another --run_dir"
            )
        return None

    def _read(self, folder: pathlib.Path, model_only: bool) -> Position:
        position = Position(**_manifest(folder)["position"])
        if model_only and self._averages is None:
            status = tf.train.Checkpoint(model=self._model_state).read(str(folder / "variables"))
            status.expect_partial().assert_existing_objects_matched()
        else:
            state = tf.train.Checkpoint(model=self._model_state, run=self._run_state)
            state.read(str(folder / "variables")).assert_consumed()
        if model_only and self._averages is not None:
            for variable, average in zip(self._trainable, self._averages, strict=True):
                variable.assign(average)
        return position

    def _folders(self) -> list[pathlib.Path]:
        """All checkpoints, newest first."""
        if not self.directory.is_dir():
            return []
        names = [p for p in self.directory.iterdir() if re.fullmatch(r"step-\d{8,}", p.name)]
        return sorted(names, key=lambda path: path.name, reverse=True)

    def _badness(self, folder: pathlib.Path) -> float:
        """The monitored metric; infinite where the checkpoint ends no epoch or is damaged."""
        try:
            position = _manifest(folder)["position"]
            return position["metrics"].get(self._monitor, float("inf"))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return float("inf")

    def _remove_old(self) -> None:
        for leftover in self.directory.glob(".step-*"):
            shutil.rmtree(leftover)
        folders = self._folders()
        best = min(folders, key=self._badness)
        for folder in folders[self._keep :]:
            if folder != best:
                shutil.rmtree(folder)


def _raw(variables: Sequence[Any]) -> list[tf.Variable]:
    return [variable.value for variable in variables]


def _manifest(folder: pathlib.Path) -> dict[str, Any]:
    return json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))


def _damage(folder: pathlib.Path) -> str | None:
    """Says what is wrong with a checkpoint, or None."""
    try:
        manifest = _manifest(folder)
        # Manifests of older runs hold no sum of their own.
        strange = set(manifest) - {"position", "files", "sha256"}
        if strange or manifest.get("sha256", digest := _sum_of_rest(manifest)) != digest:
            return f"{_MANIFEST} is not what was written"
        for name, digest in manifest["files"].items():
            if _sha256(folder / name) != digest:
                return f"{name} is not what was written"
    except (OSError, ValueError, KeyError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _sum_of_rest(manifest: dict[str, Any]) -> str:
    rest = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _sha256(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: pathlib.Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
