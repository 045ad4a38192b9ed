"""The directory of a run: its files, and a lock that allows one process to write."""

import fcntl
import json
import pathlib
import tempfile
from typing import Any, TextIO

from absl import logging

from tf_mvae import files
from tf_mvae.errors import UserError
from tf_mvae.training.config import RunConfig

__all__ = ["SAMPLER_SETTINGS", "RunDirectory"]

# What a run that is taken up may have otherwise than before: a sampler can be added later.
SAMPLER_SETTINGS = ("sampler_epochs", "sampler_kind", "sampler_guidance")


class RunDirectory:
    """The directory of a run.

    Attributes:
        path: The path of the directory.
        flags: The flagfile that reproduces the run.
        assets: The folder of files that were made from the training data, if the experiment has
            any.
        checkpoints: The folder of checkpoints.
        metrics: The metrics file, one JSON object per line and epoch.
        sampler: The folder of the latent sampler, if one is fitted.
        pictures: The folder of PNG files.
        sentences: The folder of generated sentences, one file per epoch, if the model has text.
        tensorboard: The folder of TensorBoard's event files.
        saved_model: The SavedModel.
        keras_model: The same model as a `.keras` file.
        finished: The summary, written last.
        evaluation: The results of analyses.
    """

    def __init__(self, path: str | pathlib.Path):
        """Sets the paths; nothing is read or written.

        Args:
            path: The path of the directory.
        """
        self.path = pathlib.Path(path).expanduser()
        self.flags = self.path / "flags.cfg"
        self.assets = self.path / "assets"
        self.checkpoints = self.path / "checkpoints"
        self.metrics = self.path / "metrics.jsonl"
        self.sampler = self.path / "sampler"
        self.pictures = self.path / "pictures"
        self.sentences = self.path / "sentences"
        self.tensorboard = self.path / "tensorboard"
        self.saved_model = self.path / "saved_model"
        self.keras_model = self.path / "model.keras"
        self.finished = self.path / "finished.json"
        self.evaluation = self.path / "evaluation.json"
        self._lock: TextIO | None = None

    def claim(self, config: RunConfig, resume: bool) -> None:
        """Locks the directory for a new run, or to continue its run, until `close`.

        Args:
            config: The configuration to run. For an existing run, only the number of epochs may
                differ, unless a schedule depends on it; see `go_on`.
            resume: Whether an existing run may be continued.

        Raises:
            UserError: The directory has a run of another configuration, or other files, another
                process has locked it, or it cannot be written.
        """
        try:
            self.check_usable()
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / ".lock").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"another process is training in {self.path}; wait for it or choose another "
                "--run_dir"
            ) from error
        except OSError as error:
            raise UserError(
                f"run directory {self.path} cannot be written: {error.strerror}; choose another "
                "--run_dir"
            ) from error
        if not self.flags.exists():
            config.write(self.flags)
            return
        if not resume:
            raise UserError(
                f"{self.path} has a run already; continue it with --resume=true, or choose another "
                "--run_dir"
            )
        differences = RunConfig.read(self.flags).differences(config)
        if differences:
            epochs = any(difference.startswith("--epochs=") for difference in differences)
            why = " (--learning_rate_schedule=cosine depends on --epochs)" if epochs else ""
            raise UserError(
                f"{self.path} has a run of another configuration: {', '.join(differences)}{why}; "
                "choose another --run_dir"
            )

    def close(self) -> None:
        """Unlocks the directory."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def go_on(self, config: RunConfig, epochs_done: int) -> None:
        """Prepares an existing run to be continued: sets its number of epochs and its sampler.

        Args:
            config: The configuration with the new number of epochs.
            epochs_done: The number of epochs that the run has begun.

        Raises:
            UserError: The new number of epochs is smaller than `epochs_done`.
        """
        was = RunConfig.read(self.flags)
        if config.epochs < epochs_done:
            raise UserError(
                f"--epochs={config.epochs} is fewer than the {epochs_done} that the run in "
                f"{self.path} has had; give --epochs={max(epochs_done, was.epochs)} or more, or "
                "another --run_dir"
            )
        # The summary is removed first. A process that is killed in between then leaves an
        # unfinished run, which can be continued.
        self.finished.unlink(missing_ok=True)
        if config.epochs != was.epochs:
            print(f"the run had --epochs={was.epochs} and continues to --epochs={config.epochs}")
        changes = {n: config.get(n) for n in ("epochs", *SAMPLER_SETTINGS)}
        if any(was.get(name) != value for name, value in changes.items()):
            was.replace(**changes).write(self.flags)

    def summary(self) -> dict[str, Any] | None:
        """Reads `finished.json`; None if the run is not finished or the file is damaged."""
        if not self.finished.exists():
            return None
        try:
            summary = json.loads(self.finished.read_text(encoding="utf-8"))
            if isinstance(summary["epochs"], int):
                return summary
        except (ValueError, KeyError, TypeError):
            pass
        logging.warning("%s is damaged and will be written again", self.finished)
        return None

    def check_usable(self) -> None:
        """Checks that the path is new, empty, or a run's directory.

        Raises:
            UserError: It has other files, or a file in the place of a folder.
        """
        self.check_types()
        self._refuse_foreign_files()

    def check_types(self) -> None:
        """Checks that no file is in the place of one of the run's folders, and the reverse.

        Raises:
            UserError: A path has the wrong type.
        """
        folders = (self.assets, self.checkpoints, self.sampler, self.pictures, self.sentences)
        folders = (*folders, self.tensorboard)
        for path in (*folders, self.saved_model):
            if path.exists() and not path.is_dir():
                raise UserError(f"{path} must be a folder and is a file; move it away")
        own = (self.flags, self.metrics, self.keras_model, self.finished, self.evaluation)
        for path in own:
            if path.is_dir():
                raise UserError(f"{path} must be a file and is a folder; move it away")

    def check_writable(self) -> None:
        """Checks that files can be written to the directory, by writing one that is removed again.

        Raises:
            UserError: None can be.
        """
        try:
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            raise UserError(
                f"--run_dir={self.path} cannot be written: {error.strerror}; make it writable, or "
                "name a copy of it"
            ) from error

    def _refuse_foreign_files(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"--run_dir={self.path} is a file; choose another")
        if self.path.is_dir() and not self.flags.exists():
            foreign = [
                entry.name for entry in self.path.iterdir() if not entry.name.startswith(".")
            ]
            if foreign:
                raise UserError(
                    f"--run_dir={self.path} is not empty and not a run's directory (it has "
                    f"{foreign[0]!r}); choose another"
                )

    def config(self) -> RunConfig:
        """Reads the run's configuration.

        Raises:
            UserError: The directory has no run.
        """
        if not self.flags.exists():
            raise UserError(
                f"--run_dir={self.path} is not a run's directory: it has no {self.flags.name}"
            )
        self.check_types()
        return RunConfig.read(self.flags)

    def metric_rows(self) -> list[dict[str, Any]]:
        """Reads `metrics.jsonl`, without damaged or incomplete lines."""
        return [row for row in map(_row, self._metric_lines()) if row is not None]

    def keep_metrics(self, epochs: int) -> None:
        """Removes the lines of `metrics.jsonl` after `epochs`, which a resumed run writes again.

        If a line is damaged, the file is first copied to `metrics.damaged.jsonl`. (An incomplete
        last line does not count as damaged.)

        Args:
            epochs: The number of epochs to keep.
        """
        lines = self._metric_lines()
        if any(_row(line) is None for line in lines[:-1]):
            damaged = self.metrics.with_name("metrics.damaged.jsonl")
            logging.warning(
                "%s has damaged lines, which are removed; a copy is %s", self.metrics, damaged.name
            )
            files.write_bytes(damaged, self.metrics.read_bytes())
        rows = [row for row in self.metric_rows() if row["epoch"] <= epochs]
        files.write_text(self.metrics, "".join(json.dumps(row) + "\n" for row in rows))

    def _metric_lines(self) -> list[bytes]:
        if not self.metrics.exists():
            return []
        return [line for line in self.metrics.read_bytes().split(b"\n") if line.strip()]

    def add_sentences(self, epoch: int, text: str) -> None:
        """Writes the generated sentences of an epoch to a file.

        Args:
            epoch: The number of the epoch, from 1 on.
            text: The sentences.
        """
        self.sentences.mkdir(exist_ok=True)
        files.write_text(self.sentences / f"epoch_{epoch:04d}.txt", text)

    def add_metrics(self, row: dict[str, Any]) -> None:
        """Appends one line to `metrics.jsonl`.

        Args:
            row: `epoch`, `step` and metrics by name.
        """
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def _row(line: bytes) -> dict[str, Any] | None:
    """Reads a line of `metrics.jsonl`; None if it is damaged."""
    try:
        row = json.loads(line)
        return row if isinstance(row["epoch"], int) else None
    except (ValueError, KeyError, TypeError):  # ValueError includes bytes that are not UTF-8
        return None
