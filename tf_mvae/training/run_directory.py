"""The directory of a run: what is in it, and who may write there."""

import fcntl
import json
import os
import pathlib
from typing import Any

from tf_mvae.errors import UserError
from tf_mvae.training.config import RunConfig

__all__ = ["RunDirectory", "write_atomically"]


def write_atomically(path: pathlib.Path, text: str) -> None:
    """Writes a text file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


class RunDirectory:
    """A run's directory.

    Attributes:
        path: Where it is.
        flags: The flagfile that reproduces the run.
        assets: Folder of what was made of the training data, where an experiment needs that.
        checkpoints: Folder of checkpoints.
        metrics: One JSON object a line, one line an epoch.
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
        self.pictures = self.path / "pictures"
        self.sentences = self.path / "sentences"
        self.tensorboard = self.path / "tensorboard"
        self.saved_model = self.path / "saved_model"
        self.keras_model = self.path / "model.keras"
        self.finished = self.path / "finished.json"

    def claim(self, config: RunConfig, resume: bool) -> None:
        """Takes the directory for a run, new or to be resumed, until the process ends.

        Args:
            config: What is to run.
            resume: Whether a run that is there may be taken up.

        Raises:
            UserError: Another configuration's run or something else is there, another
                process is at work in it, or it cannot be written.
        """
        try:
            self._refuse_foreign_files()
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
            temporary = self.path / ".flags.cfg.tmp"
            config.write(temporary)
            temporary.replace(self.flags)
            return
        if not resume:
            raise UserError(
                f"{self.path} holds a run; --resume=true goes on with it, another --run_dir leaves "
                "it alone"
            )
        differences = RunConfig.read(self.flags).differences(config)
        if differences:
            raise UserError(
                f"{self.path} holds a run of another configuration: {', '.join(differences)}; "
                "choose another --run_dir"
            )

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
        return RunConfig.read(self.flags)

    def metric_rows(self) -> list[dict[str, Any]]:
        """Reads `metrics.jsonl`, up to a line that was cut short."""
        rows = []
        if self.metrics.exists():
            for line in self.metrics.read_text(encoding="utf-8").splitlines():
                try:
                    rows.append(json.loads(line))
                except json.JSONDecodeError:
                    break
        return rows

    def keep_metrics(self, epochs: int) -> None:
        """Drops the lines that a resumed run will write again, those after `epochs`."""
        rows = [row for row in self.metric_rows() if row["epoch"] <= epochs]
        write_atomically(self.metrics, "".join(json.dumps(row) + "\n" for row in rows))

    def add_sentences(self, epoch: int, text: str) -> None:
        """Writes what the model says after an epoch."""
        self.sentences.mkdir(exist_ok=True)
        write_atomically(self.sentences / f"epoch_{epoch:04d}.txt", text)

    def add_metrics(self, row: dict[str, Any]) -> None:
        """Appends one line to `metrics.jsonl`."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
