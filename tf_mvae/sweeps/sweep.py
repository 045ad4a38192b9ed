"""Sweeps of weak supervision: accuracy of methods by the fraction of paired examples."""

import dataclasses
import fcntl
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from typing import Any, TextIO

import keras
import numpy as np
import tqdm
from absl import logging

from tf_mvae import files
from tf_mvae.data.pairing import keep_paired
from tf_mvae.errors import UserError
from tf_mvae.evaluation import baselines
from tf_mvae.evaluation.accuracy import cross_modal_accuracy
from tf_mvae.experiments import registry
from tf_mvae.modality import Modality
from tf_mvae.sweeps.rows import Row, Rows
from tf_mvae.training.config import RunConfig
from tf_mvae.training.incomplete import incomplete_split
from tf_mvae.training.run import load_run
from tf_mvae.training.stopping import Stopped

__all__ = ["Sweep"]

_FEATURES = 64
_TRAIN = (sys.executable, "-m", "tf_mvae.train")


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A sweep: trains several methods on several fractions of paired examples.

    Attributes:
        directory: The directory of its rows and runs.
        experiment: An experiment of one class and one other modality.
        data_dir: The data directory; see `RunConfig`.
        methods: By name, the flagfile of a model for `tf_mvae.train`, or None for a baseline, one
            of `tf_mvae.names.BASELINES`.
        fractions: The fractions of training examples that stay complete.
        seeds: The seeds; fractions up to `repeat_up_to` are run with each of them.
        repeat_up_to: Larger fractions are run only with the first seed.
        baseline_steps: The number of optimizer steps of baselines with networks.
        keep_runs: Whether to keep the run directories of the models.
    """

    directory: pathlib.Path
    experiment: str
    data_dir: str | None
    methods: dict[str, str | None]
    fractions: tuple[float, ...]
    seeds: tuple[int, ...]
    repeat_up_to: float = 1.0
    baseline_steps: int = 10_000
    keep_runs: bool = False

    def run(self) -> Rows:
        """Computes all missing rows, and returns all rows.

        Raises:
            UserError: The directory has another sweep, or a method fails.
            Stopped: A model's training was stopped; the next `run` continues it.
        """
        lock = self._claim()  # noqa: F841  held until this returns
        rows = Rows(self.directory / "rows.csv")
        wanted = [key for key in self._keys() if key not in rows]
        for method, fraction, seed in tqdm.tqdm(wanted, unit="row", disable=None):
            begin = time.monotonic()
            settings = RunConfig(
                self.experiment, data_dir=self.data_dir, paired_fraction=fraction, seed=seed
            )
            make = self._model if self.methods[method] else self._baseline
            result = make(method, settings)
            row = Row(method, fraction, seed, *result, round(time.monotonic() - begin, 1))
            rows.add(row)
            if self.methods[method] and not self.keep_runs:
                shutil.rmtree(self._run_dir(method, settings))
            tqdm.tqdm.write(
                f"{method}, {100 * fraction:g} % paired, seed {seed}: {100 * row.accuracy:.2f} %"
            )
        return rows

    def _keys(self) -> list[tuple[str, float, int]]:
        """Returns the keys of all rows: method, fraction and seed."""
        return [
            (method, fraction, seed)
            for fraction in self.fractions
            for seed in (self.seeds if fraction <= self.repeat_up_to else self.seeds[:1])
            for method in self.methods
        ]

    def _claim(self) -> TextIO:
        """Locks the directory, checks that its rows have the same settings, returns the lock."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            lock = (self.directory / ".lock").open("w")
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"another sweep is running in {self.directory}; wait for it or choose another "
                "--sweep_dir"
            ) from error
        except OSError as error:
            raise UserError(f"--sweep_dir={self.directory} cannot be written: {error}") from error
        self._compare_settings()
        return lock

    def _compare_settings(self) -> None:
        """Checks that the directory's rows have these settings, and records new methods."""
        settings = {
            "experiment": self.experiment,
            "baseline_steps": self.baseline_steps,
            "methods": {
                name: pathlib.Path(file).read_text(encoding="utf-8")
                for name, file in self.methods.items()
                if file
            },
        }
        path = self.directory / "sweep.json"
        if not path.exists():
            files.write_text(path, json.dumps(settings, indent=1))
            return
        there = _settings_of(path)
        both = set(there["methods"]) & set(settings["methods"])
        changed = [
            f"--methods ({n})"
            for n in sorted(both)
            if there["methods"][n] != settings["methods"][n]
        ]
        changed += [f"--{n}" for n in ("experiment", "baseline_steps") if there[n] != settings[n]]
        if changed:
            raise UserError(
                f"{self.directory} has a sweep with other settings: {', '.join(changed)}; choose "
                "another --sweep_dir"
            )
        there["methods"].update(settings["methods"])
        files.write_text(path, json.dumps(there, indent=1))

    def _run_dir(self, method: str, settings: RunConfig) -> pathlib.Path:
        name = f"{method}-{settings.paired_fraction:g}-{settings.seed}"
        return self.directory / "runs" / name

    def _model(self, method: str, settings: RunConfig) -> tuple[int, float, int, int]:
        """Trains a model with `tf_mvae.train` in a process, and measures its accuracy."""
        run_dir = self._run_dir(method, settings)
        command = [*_TRAIN, f"--flagfile={self.methods[method]}"]
        flags = {
            "experiment": self.experiment,
            "paired_fraction": settings.paired_fraction,
            "seed": settings.seed,
            "run_dir": run_dir,
            **({"data_dir": self.data_dir} if self.data_dir else {}),
        }
        command += [f"--{name}={value}" for name, value in flags.items()]
        status, said = _run(command)
        if status in (128 + signal.SIGINT, 128 + signal.SIGTERM):
            raise Stopped(status - 128, 0)
        if status:
            raise UserError(f"{method} could not be trained: {said.removeprefix('error: ')}")
        run = load_run(run_dir, "last")
        target, source = _target_and_source(run.model.modalities)
        found = cross_modal_accuracy(run.model, run.batches("test", 500))
        result = found[f"{target.name} | {source.name}"]
        paired = keep_paired(incomplete_split(run.config, "train")).num_examples
        keras.backend.clear_session()
        return paired, result["value"], result["examples"], run.checkpoint_step

    def _baseline(self, method: str, settings: RunConfig) -> tuple[int, float, int, int]:
        """Fits a baseline on the paired examples."""
        keras.utils.set_random_seed(settings.seed)
        target, source = _target_and_source(registry.get(self.experiment).modalities({}, {}))
        masks = incomplete_split(settings, "train").presence
        paired = (masks[source.name] > 0) & (masks[target.name] > 0)
        values, labels = self._arrays("train", source.name, target.name)
        test_values, test_labels = self._arrays("test", source.name, target.name)
        steps = 0 if method == "logistic_regression" else self.baseline_steps
        if method in baselines.FEATURES:
            values, test_values = self._features(method, source, settings.seed)
        if method == "supervised_network":
            predict = baselines.supervised_network(
                source, target, values[paired], labels[paired], steps, settings.seed
            )
        else:
            predict = baselines.logistic_regression(values[paired], labels[paired])
        right = predict(test_values) == test_labels
        keras.backend.clear_session()
        return int(paired.sum()), float(right.mean()), len(right), steps

    def _features(self, method: str, source: Modality, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns features of the training and the test examples, learned once per seed.

        They are learned from all training examples for every fraction. A model has less: it never
        sees hidden modalities.
        """
        path = self.directory / "features" / f"{method}-{seed}.npz"
        if _features_of(path) is None:
            (values,) = self._arrays("train", source.name)
            (test_values,) = self._arrays("test", source.name)
            make = baselines.FEATURES[method]
            features = make(source, values, _FEATURES, self.baseline_steps, seed)
            path.parent.mkdir(exist_ok=True)
            with files.replacing(path) as temporary:
                np.savez(temporary, train=features(values), test=features(test_values))
        return _features_of(path)

    def _arrays(self, split: str, *names: str) -> list[np.ndarray]:
        """Returns the arrays of some modalities of a complete split."""
        dataset = registry.get(self.experiment).load(split, self.data_dir).dataset.batch(1000)
        parts = list(dataset.as_numpy_iterator())
        return [np.concatenate([part["x"][name] for part in parts]) for name in names]


def _run(command: Sequence[str]) -> tuple[int, str]:
    """Runs a command, and prints its standard error.

    An interrupt from the terminal reaches the command too, which then stops.

    Returns:
        The exit status, and the last line of standard error.
    """
    last = ""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    while True:
        try:
            for line in process.stderr:
                last = line.strip() or last
                tqdm.tqdm.write(f"  {line.rstrip()}", file=sys.stderr)
            return process.wait(), last or f"status {process.returncode}"
        except KeyboardInterrupt:
            continue


def _settings_of(path: pathlib.Path) -> dict[str, Any]:
    """Reads the settings of a sweep's rows."""
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        if set(settings) == {"experiment", "baseline_steps", "methods"}:
            return settings | {"methods": dict(settings["methods"])}
    except (ValueError, TypeError):
        pass
    raise UserError(
        f"{path} is damaged, so the settings of the sweep's rows are unknown; choose another "
        "--sweep_dir"
    )


def _features_of(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Reads features; None if the file is missing or damaged."""
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            return file["train"], file["test"]
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        logging.warning("%s is damaged (%s): its features are learned again", path, error)
        return None


def _target_and_source(modalities: Sequence[Modality]) -> tuple[Modality, Modality]:
    """Returns the class and the modality that it is predicted from."""
    classes = [m for m in modalities if m.likelihood.is_categorical]
    others = [m for m in modalities if not m.likelihood.is_categorical]
    if len(classes) != 1 or len(others) != 1:
        raise UserError(
            "a sweep needs an experiment of one class and one other modality, such as "
            "--experiment=mnist"
        )
    return classes[0], others[0]
