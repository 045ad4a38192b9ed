"""Sweeps of weak supervision: accuracy of methods by the fraction of paired examples."""

import contextlib
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
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

import keras
import numpy as np
import tqdm
from absl import logging

from tf_mvae import files
from tf_mvae.data.pairing import keep_paired
from tf_mvae.data.pipeline import evaluation_batches
from tf_mvae.errors import UserError
from tf_mvae.evaluation import baselines
from tf_mvae.evaluation.accuracy import class_questions, cross_modal_accuracy
from tf_mvae.modality import Modality
from tf_mvae.sweeps.rows import Row, Rows
from tf_mvae.training.build import build_model
from tf_mvae.training.config import RunConfig
from tf_mvae.training.incomplete import incomplete_split
from tf_mvae.training.parts import make_modalities
from tf_mvae.training.run import load_run
from tf_mvae.training.splits import load_split
from tf_mvae.training.stopping import Stopped, StopRequest

__all__ = ["Sweep"]

_FEATURES = 64
_OWN_FLAGS = ("experiment", "paired_fraction", "seed", "run_dir", "data_dir")
_NEEDED = (
    "a sweep needs an experiment of one class and one other modality, such as --experiment=mnist"
)
_TRAIN = (sys.executable, "-m", "tf_mvae.train")


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A sweep: trains several methods on several fractions of paired examples.

    Attributes:
        directory: The directory of its rows and runs.
        experiment: An experiment of one class and one other modality.
        data_dir: The data directory; see `RunConfig`.
        methods: By name, the flags of a model for `tf_mvae.train`, or None for a baseline, one of
            `tf_mvae.names.BASELINES`.
        fractions: The fractions of training examples that stay complete.
        seeds: The seeds; fractions up to `repeat_up_to` are run with each of them.
        repeat_up_to: Larger fractions are run only with the first seed.
        baseline_steps: The number of optimizer steps of baselines with networks.
        keep_runs: Whether to keep the run directories of the models.
    """

    directory: pathlib.Path
    experiment: str
    data_dir: str | None
    methods: dict[str, tuple[str, ...] | None]
    fractions: tuple[float, ...]
    seeds: tuple[int, ...]
    repeat_up_to: float = 1.0
    baseline_steps: int = 10_000
    keep_runs: bool = False

    def run(self) -> Rows:
        """Computes all missing rows, and returns all rows.

        Raises:
            UserError: The experiment or a model does not fit, the directory has another sweep, or a
                method fails.
            Stopped: A model's training was stopped; the next `run` continues it.
        """
        self._check_predictions()
        lock = self._claim()  # noqa: F841  held until this returns
        rows = Rows(self.directory / "rows.csv")
        recorded = self._compare_settings(rows)
        wanted = [key for key in self._keys() if key not in rows]
        for method, fraction, seed in tqdm.tqdm(wanted, unit="row", disable=None):
            begin = time.monotonic()
            settings = RunConfig(
                self.experiment, data_dir=self.data_dir, paired_fraction=fraction, seed=seed
            )
            is_model = self.methods[method] is not None
            make = self._model if is_model else self._baseline
            result = make(method, settings)
            row = Row(method, fraction, seed, *result, round(time.monotonic() - begin, 1))
            self._record(recorded, method)  # first, so that no row is without its flags
            rows.add(row)
            if is_model and not self.keep_runs:
                shutil.rmtree(self._run_dir(method, settings))
            tqdm.tqdm.write(
                f"{method}, {100 * fraction:g} % paired, seed {seed}: {100 * row.accuracy:.2f} %"
            )
        return rows

    def _check_predictions(self) -> None:
        """Checks that there is a class to predict, and that the models predict it.

        Raises:
            UserError: The experiment has no such class, or a model does not predict it.
        """
        target, source = _fresh_pair(RunConfig(self.experiment))
        for method, flags in self.methods.items():
            if flags is None:
                continue
            config = self._config_of(flags)
            if (target.name, (source.name,)) not in class_questions(build_model(config, 1)):
                raise UserError(
                    f"--methods ({method}): --model={config.model} does not predict "
                    f"{target.name!r} from {source.name!r}; choose another model, or cvae with "
                    f"--modality={target.name}"
                )
            keras.backend.clear_session()

    def _config_of(self, flags: Sequence[str]) -> RunConfig:
        """Returns the model of a method, and its modality, which decide what it predicts."""
        given = dict(flag.lstrip("-").split("=", 1) for flag in flags if "=" in flag)
        named = {name: given[name] for name in ("model", "modality") if name in given}
        return RunConfig(self.experiment, **named)

    def _keys(self) -> list[tuple[str, float, int]]:
        """Returns the keys of all rows: method, fraction and seed."""
        return [
            (method, fraction, seed)
            for fraction in self.fractions
            for seed in (self.seeds if fraction <= self.repeat_up_to else self.seeds[:1])
            for method in self.methods
        ]

    def _claim(self) -> TextIO:
        """Locks the directory, and returns the lock."""
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
        return lock

    def _compare_settings(self, rows: Rows) -> dict[str, Any]:
        """Checks that the directory's rows have these settings, and records them.

        The flags of a method count from its first row on: until then they may be corrected.

        Args:
            rows: The directory's rows.

        Returns:
            The recorded settings, with the flags of the methods that have rows.
        """
        own = {"experiment": self.experiment, "baseline_steps": self.baseline_steps}
        there = _settings_of(self._settings_file) or {**own, "methods": {}}
        begun = {row.method for row in rows}
        methods = {name: flags for name, flags in there["methods"].items() if name in begun}
        changed = [
            f"--methods ({name})"
            for name in sorted(methods)
            if self.methods.get(name) is not None
            and _flags_that_matter(methods[name].splitlines())
            != _flags_that_matter(self.methods[name])
        ]
        if begun or (self.directory / "features").exists():
            changed += [f"--{name}" for name in own if there[name] != own[name]]
        if changed:
            raise UserError(
                f"{self.directory} has a sweep with other settings: {', '.join(changed)}; choose "
                "another --sweep_dir"
            )
        recorded = {**own, "methods": methods}
        files.write_text(self._settings_file, json.dumps(recorded, indent=1))
        return recorded

    def _record(self, recorded: dict[str, Any], method: str) -> None:
        """Adds the flags of a method that has its first row now to the recorded settings."""
        flags = self.methods[method]
        if flags is not None and method not in recorded["methods"]:
            recorded["methods"][method] = "\n".join(_flags_that_matter(flags))
            files.write_text(self._settings_file, json.dumps(recorded, indent=1))

    @property
    def _settings_file(self) -> pathlib.Path:
        return self.directory / "sweep.json"

    def _run_dir(self, method: str, settings: RunConfig) -> pathlib.Path:
        name = f"{method}-{settings.paired_fraction:g}-{settings.seed}"
        return self.directory / "runs" / name

    def _model(self, method: str, settings: RunConfig) -> tuple[int, float, int, int]:
        """Trains a model with `tf_mvae.train` in a process, and measures its accuracy."""
        run_dir = self._run_dir(method, settings)
        flags = {
            "experiment": self.experiment,
            "paired_fraction": settings.paired_fraction,
            "seed": settings.seed,
            "run_dir": run_dir,
            **({"data_dir": self.data_dir} if self.data_dir else {}),
        }
        given = [f"--{name}={value}" for name, value in flags.items()]
        command = [*_TRAIN, *(self.methods[method] or ()), *given]
        status, said = _run(command)
        if status in (128 + signal.SIGINT, 128 + signal.SIGTERM):
            raise Stopped(status - 128, 0)
        if status:
            raise UserError(f"{method} could not be trained: {_in_terms_of_sweep(said)}")
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
        target, source = _fresh_pair(settings)
        masks = incomplete_split(settings, "train").presence
        paired = (masks[source.name] > 0) & (masks[target.name] > 0)
        values, labels = _arrays(settings, "train", source.name, target.name)
        test_values, test_labels = _arrays(settings, "test", source.name, target.name)
        steps = 0 if method == "logistic_regression" else self.baseline_steps
        if method in baselines.FEATURES:
            values, test_values = self._features(method, source, values, test_values, settings.seed)
        if method == "supervised_network":
            predict = baselines.supervised_network(
                source, target, values[paired], labels[paired], steps, settings.seed
            )
        else:
            predict = baselines.logistic_regression(values[paired], labels[paired])
        right = predict(test_values) == test_labels
        keras.backend.clear_session()
        return int(paired.sum()), float(right.mean()), len(right), steps

    def _features(
        self,
        method: str,
        source: Modality,
        values: np.ndarray,
        test_values: np.ndarray,
        seed: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns features of the training and the test examples, learned once per seed.

        They are learned from all training examples for every fraction. A model has less: it never
        sees hidden modalities.
        """
        path = self.directory / "features" / f"{method}-{seed}.npz"
        if _features_of(path) is None:
            make = baselines.FEATURES[method]
            features = make(source, values, _FEATURES, self.baseline_steps, seed)
            path.parent.mkdir(exist_ok=True)
            with files.replacing(path) as temporary:
                np.savez(temporary, train=features(values), test=features(test_values))
        return _features_of(path)


def _arrays(config: RunConfig, split: str, *names: str) -> list[np.ndarray]:
    """Returns the arrays of some modalities of a complete split, as a model is evaluated on it."""
    batches = evaluation_batches(load_split(config, split), 1000, cache_bytes=0)
    parts = [{name: part["x"][name] for name in names} for part in batches.as_numpy_iterator()]
    return [np.concatenate([part[name] for part in parts]) for name in names]


def _flags_that_matter(lines: Sequence[str]) -> list[str]:
    """Returns the flags of a model that the sweep does not set itself.

    Args:
        lines: Its flags, or the lines of its flagfile, which earlier versions recorded.
    """
    flags = [line.strip() for line in lines if line.strip().startswith("-")]
    return [flag for flag in flags if flag.lstrip("-").partition("=")[0] not in _OWN_FLAGS]


def _run(command: Sequence[str]) -> tuple[int, str]:
    """Runs a command, and prints its standard error.

    Returns:
        The exit status, and the last line of standard error.

    Raises:
        Stopped: A signal asked this process to stop; the command has ended.
    """
    last = ""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    with _stopped_with(process):
        for line in process.stderr:
            last = line.strip() or last
            tqdm.tqdm.write(f"  {line.rstrip()}", file=sys.stderr)
        status = process.wait()
    return status, last or f"status {status}"


@contextlib.contextmanager
def _stopped_with(process: subprocess.Popen) -> Iterator[None]:
    """Passes signals that ask this process to stop on to another one.

    An interrupt from the terminal reaches both, one by `kill` only this process: the other one gets
    SIGTERM then, which has the same effect, also while it starts.

    Args:
        process: The other process. The block waits for its end.

    Raises:
        Stopped: There was such a signal.
    """
    stop = StopRequest(lambda: process.send_signal(signal.SIGTERM))
    stop.listen()
    try:
        yield
    finally:
        stop.give_back()
    if stop.asked is not None:
        raise Stopped(stop.asked, 0)


def _in_terms_of_sweep(said: str) -> str:
    """Returns a training's error message with what to do about it in a sweep."""
    fix = "choose another --sweep_dir"
    if "a run of another configuration" in said:
        fix = f"remove that folder to begin its row again, or {fix}"
    return said.removeprefix("error: ").replace("choose another --run_dir", fix)


def _settings_of(path: pathlib.Path) -> dict[str, Any] | None:
    """Reads the settings of a sweep's rows; None if there are none yet."""
    if not path.exists():
        return None
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


def _fresh_pair(config: RunConfig) -> tuple[Modality, Modality]:
    """Returns the class and the modality that it is predicted from, with new networks."""
    try:
        modalities = make_modalities(config)
    except UserError as error:  # it has settings that a sweep has no flags for
        raise UserError(f"{_NEEDED} ({error})") from error
    return _target_and_source(modalities)


def _target_and_source(modalities: Sequence[Modality]) -> tuple[Modality, Modality]:
    """Returns the class and the modality that it is predicted from."""
    classes = [m for m in modalities if m.likelihood.is_categorical]
    others = [m for m in modalities if not m.likelihood.is_categorical]
    if len(classes) != 1 or len(others) != 1:
        raise UserError(_NEEDED)
    return classes[0], others[0]
