"""The directory of a run: what is in it, and who may write there."""

import fcntl
import json
import pathlib
from typing import Any, TextIO

from absl import logging

from tf_mvae import files
from tf_mvae.errors import UserError
from tf_mvae.training.config import RunConfig

__all__ = ["RunDirectory"]


class RunDirectory:
    """A run's directory.

    Attributes:
        path: Where it is.
        flags: The flagfile that reproduces the run.
        assets: Folder of what was made of the training data, where an experiment needs that.
        checkpoints: Folder of checkpoints.
        metrics: One JSON object a line, one line an epoch.
        sampler: Folder of the sampler of the latent, where one is fitted.
        pictures: Folder of PNG files.
        sentences: Folder of what the model says, a file an epoch, where it has text.
        tensorboard: Folder of TensorBoard's event files.
        saved_model: The SavedModel.
        keras_model: The same weights as a `.keras` file.
        finished: A summary, written last.
    """

    def __init__(self, path: str | pathlib.Path):
        """Names the parts of a run's directory; nothing is read or made."""
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
        self._lock: TextIO | None = None

    def claim(self, config: RunConfig, resume: bool) -> None:
        """Takes the directory for a run, new or to be resumed, until `close`.

        Args:
            config: What is to run. Only its number of epochs may differ from that of a run
                that is there, unless a schedule depends on it; see `go_on`.
            resume: Whether a run that is there may be taken up.

        Raises:
            UserError: Another configuration's run or something else is there, another
                process is at work in it, or it cannot be written.
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
                f"{self.path} holds a run; --resume=true goes on with it, another --run_dir leaves "
                "it alone"
            )
        differences = RunConfig.read(self.flags).differences(config)
        if differences:
            epochs = any(difference.startswith("--epochs=") for difference in differences)
            why = " (--learning_rate_schedule=cosine depends on --epochs)" if epochs else ""
            raise UserError(
                f"{self.path} holds a run of another configuration: {', '.join(differences)}{why}; "
                "choose another --run_dir"
            )

    def close(self) -> None:
        """Lets other processes and runs take the directory."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def go_on(self, config: RunConfig, epochs_done: int) -> None:
        """Changes the number of epochs of the run that is there, and makes it unfinished.

        Args:
            config: Of the new number of epochs.
            epochs_done: Those that the run has begun.

        Raises:
            UserError: They are more than the new number.
        """
        was = RunConfig.read(self.flags)
        if config.epochs < epochs_done:
            raise UserError(
                f"--epochs={config.epochs} is fewer than the {epochs_done} that the run in "
                f"{self.path} has had; give --epochs={max(epochs_done, was.epochs)} or more, or "
                "another --run_dir"
            )
        # In this order: a kill in between leaves a run that is finished again.
        self.finished.unlink(missing_ok=True)
        if config.epochs != was.epochs:
            print(f"the run had --epochs={was.epochs}; it goes on to --epochs={config.epochs}")
        changes = {n: config.get(n) for n in ("epochs", "sampler_epochs", "sampler_kind")}
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
        logging.warning("%s is damaged: it is written again", self.finished)
        return None

    def check_usable(self) -> None:
        """Refuses a path that is neither new nor a run's directory.

        Raises:
            UserError: Something else is there.
        """
        self.check_types()
        self._refuse_foreign_files()

    def check_types(self) -> None:
        """Refuses a file in the place of one of the run's folders, and the reverse.

        Raises:
            UserError: There is one.
        """
        folders = (self.assets, self.checkpoints, self.sampler, self.pictures, self.sentences)
        folders = (*folders, self.tensorboard)
        for path in (*folders, self.saved_model):
            if path.exists() and not path.is_dir():
                raise UserError(f"{path} must be a folder and is a file; move it away")
        for path in (self.flags, self.metrics, self.keras_model, self.finished):
            if path.is_dir():
                raise UserError(f"{path} must be a file and is a folder; move it away")

    def _refuse_foreign_files(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"--run_dir={self.path} is a file; choose another")
        if self.path.is_dir() and not self.flags.exists():
            foreign = [
                entry.name for entry in self.path.iterdir() if not entry.name.startswith(".")
            ]
            if foreign:
                raise UserError(
                    f"--run_dir={self.path} is not a run's and not empty (it has {foreign[0]!r}); "
                    "choose another"
                )

    def config(self) -> RunConfig:
        """Reads the run's configuration.

        Raises:
            UserError: There is no run here.
        """
        if not self.flags.exists():
            raise UserError(f"--run_dir={self.path} holds no run: it has no {self.flags.name}")
        self.check_types()
        return RunConfig.read(self.flags)

    def metric_rows(self) -> list[dict[str, Any]]:
        """Reads `metrics.jsonl`, without lines that are damaged or were cut short."""
        return [row for row in map(_row, self._metric_lines()) if row is not None]

    def keep_metrics(self, epochs: int) -> None:
        """Drops the lines that a resumed run will write again, those after `epochs`.

        If a line is damaged (a last one that was cut short is not), the file as it was is
        kept, too.
        """
        lines = self._metric_lines()
        if any(_row(line) is None for line in lines[:-1]):
            damaged = self.metrics.with_name("metrics.damaged.jsonl")
            logging.warning("%s has damaged lines; as it was it is %s", self.metrics, damaged.name)
            files.write_bytes(damaged, self.metrics.read_bytes())
        rows = [row for row in self.metric_rows() if row["epoch"] <= epochs]
        files.write_text(self.metrics, "".join(json.dumps(row) + "\n" for row in rows))

    def _metric_lines(self) -> list[bytes]:
        if not self.metrics.exists():
            return []
        return [line for line in self.metrics.read_bytes().split(b"\n") if line.strip()]

    def add_sentences(self, epoch: int, text: str) -> None:
        """Writes what the model says after an epoch."""
        self.sentences.mkdir(exist_ok=True)
        files.write_text(self.sentences / f"epoch_{epoch:04d}.txt", text)

    def add_metrics(self, row: dict[str, Any]) -> None:
        """Appends one line to `metrics.jsonl`."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def _row(line: bytes) -> dict[str, Any] | None:
    """Reads a line of `metrics.jsonl`; None if it is damaged."""
    try:
        row = json.loads(line)
        return row if isinstance(row["epoch"], int) else None
    except (ValueError, KeyError, TypeError):  # bytes that are not UTF-8, too
        return None
