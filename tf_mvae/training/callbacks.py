"""Keras callbacks of a run: checkpoints, stopping at signals, progress and metrics."""

import sys
import time
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
import tqdm

from tf_mvae.training.checkpoints import Checkpoints, Position
from tf_mvae.training.divergence import FiniteCheck
from tf_mvae.training.run_directory import RunDirectory
from tf_mvae.training.stopping import Stopped, StopRequest
from tf_mvae.training.trackers import Trackers

__all__ = ["CheckpointWriter", "MetricsWriter", "Progress"]


class _StepCounter(keras.callbacks.Callback):
    """Counts steps; Keras calls a callback once per `steps_per_execution` steps."""

    def __init__(self):
        super().__init__()
        self._last = -1

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Resets the count: Keras numbers the steps of each epoch from 0."""
        self._last = -1

    def _steps_since(self, batch: int) -> int:
        """Returns the number of steps since the last call."""
        steps, self._last = batch - self._last, batch
        return steps


class CheckpointWriter(_StepCounter):
    """Writes a checkpoint after every epoch, every `every_steps` steps, and when a signal arrives.

    On SIGINT and SIGTERM the current program of `steps_per_execution` steps is finished, a
    checkpoint is written and `Stopped` is raised. A checkpoint within an epoch includes the sums of
    the metrics, which are restored after Keras has reset them.

    A state that is not finite is not written; `Diverged` is raised instead. `finite_epochs` checks
    the state at the end of an epoch, before its metrics are written.
    """

    def __init__(
        self,
        checkpoints: Checkpoints | None,
        start: Position,
        steps_per_epoch: int,
        every_steps: int,
        stop: StopRequest | None = None,
        advice: str | None = None,
    ):
        """Creates the callback.

        Args:
            checkpoints: The checkpoints to write; None if another process writes them.
            start: The position at which training begins.
            steps_per_epoch: Steps of a complete epoch.
            every_steps: Steps between checkpoints within an epoch.
            stop: The request to stop; default: signals to this process.
            advice: See `FiniteCheck`.
        """
        super().__init__()
        self._stop = stop or StopRequest()
        self._checkpoints = checkpoints
        self._steps_per_epoch = steps_per_epoch
        self._every_steps = every_steps
        self.position = start
        last = None if checkpoints is None else checkpoints.newest
        self._check = FiniteCheck(start.step, last, advice)
        self._restored_metrics: list[Any] | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Stores the metrics of a restored checkpoint, and installs signal handlers."""
        if self.position.step_in_epoch:
            self._restored_metrics = [
                v.numpy() for metric in self.model.metrics for v in metric.variables
            ]
        self._stop.listen()

    def on_train_end(self, logs: Any = None) -> None:
        """Restores the former signal handlers."""
        self._stop.give_back()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Restores the metrics of an epoch that was interrupted."""
        super().on_epoch_begin(epoch, logs)
        if self._restored_metrics is not None:
            variables = [v for metric in self.model.metrics for v in metric.variables]
            for variable, value in zip(variables, self._restored_metrics, strict=True):
                variable.assign(value)
            self._restored_metrics = None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Counts steps; writes a checkpoint if one is due or a signal has arrived."""
        steps, before = self._steps_since(batch), self.position
        here = Position(before.step + steps, before.epoch, before.step_in_epoch + steps)
        self.position = here
        due = here.step_in_epoch // self._every_steps > before.step_in_epoch // self._every_steps
        stop = self._stop.agreed
        if stop is not None or (due and here.step_in_epoch < self._steps_per_epoch):
            self._check(self.model, here.step)
            self._save()
        if stop is not None:
            self._stop_here(stop)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Writes the epoch's checkpoint, and stops if a signal has arrived in the validation."""
        metrics = {name: float(value) for name, value in (logs or {}).items()}
        self.position = Position(self.position.step, epoch + 1, 0, metrics)
        self._save()
        if self._stop.agreed is not None:
            self._stop_here(self._stop.agreed)

    def finite_epochs(self) -> keras.callbacks.Callback:
        """Returns a callback that raises `Diverged` if the state after an epoch is not finite."""

        def check(epoch: int, logs: dict[str, float]) -> None:
            metrics = {name: float(value) for name, value in (logs or {}).items()}
            self._check(self.model, self.position.step, metrics)

        return keras.callbacks.LambdaCallback(on_epoch_end=check)

    def _save(self) -> None:
        if self._checkpoints is not None:
            self._checkpoints.save(self.position)

    def _stop_here(self, number: int) -> None:
        if self._checkpoints is not None:
            self._checkpoints.join()
        self.on_train_end()
        raise Stopped(number, self.position.step)


class Progress(_StepCounter):
    """Shows a progress bar of the run, with the ELBO and the remaining time.

    If standard error is not a terminal, it prints one line per epoch instead.
    """

    def __init__(
        self,
        total_steps: int,
        start: Position,
        epochs: int,
        shown: tuple[str, str] = ("ELBO", "elbo"),
        unit: str = " nats",
    ):
        """Creates the bar.

        Args:
            total_steps: Steps of the complete run.
            start: The position at which training begins.
            epochs: Epochs of the complete run.
            shown: The title of the metric to show, and its key in the logs.
            unit: What to print after its value.
        """
        super().__init__()
        self._title, self._key = shown
        self._unit = unit
        self._epochs = epochs
        self._terminal = sys.stderr.isatty()
        self._start, self._begun = start.step, time.monotonic()
        self._total = total_steps
        self._shown = 0.0
        self._bar = tqdm.tqdm(
            total=total_steps,
            initial=start.step,
            unit="step",
            dynamic_ncols=True,
            disable=not self._terminal,
            bar_format="{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} "
            "[{rate_fmt}, ETA {remaining}]{postfix}",
        )
        self._done = start.step

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Shows the number of the epoch."""
        super().on_epoch_begin(epoch, logs)
        self._bar.set_description_str(f"epoch {epoch + 1}/{self._epochs}")

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Advances the bar."""
        steps = self._steps_since(batch)
        self._done += steps
        self._bar.update(steps)
        if self._terminal and time.monotonic() - self._shown > 0.5 and logs:
            self._shown = time.monotonic()
            figures = [f"{self._title} {float(logs[self._key]):.2f}"]
            figures += [f"KL {float(logs['kl']):.2f}"] if "kl" in logs else []
            self._bar.set_postfix_str(", ".join(figures))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Prints the epoch's line if there is no bar."""
        if self._terminal or not logs:
            return
        rate = (self._done - self._start) / (time.monotonic() - self._begun)
        pace = ""
        if rate:  # it is 0 if the run was resumed after an epoch's last step, before the validation
            left = int((self._total - self._done) / rate)
            pace = f"; {rate:.1f} steps/s, ETA {left // 60}:{left % 60:02d}"
        validation = logs[f"val_{self._key}"]
        print(
            f"epoch {epoch + 1}/{self._epochs}: {self._title} {logs[self._key]:.2f}, validation "
            f"{validation:.2f}{self._unit}{pace}",
            file=sys.stderr,
            flush=True,
        )

    def close(self) -> None:
        """Ends the bar's line."""
        self._bar.close()


class MetricsWriter(keras.callbacks.Callback):
    """Writes metrics to `metrics.jsonl` and trackers, and figures and sentences to TensorBoard."""

    def __init__(
        self,
        directory: RunDirectory,
        draw: Callable[[], dict[str, Any]],
        picture_epochs: int,
        steps_per_epoch: int,
        epochs: int,
        tell: Callable[[], str] = lambda: "",
        trackers: Trackers | None = None,
    ):
        """Creates the callback.

        Args:
            directory: The run's directory.
            draw: Returns images for TensorBoard by name, uint8 `[height, width, 3]`.
            picture_epochs: Epochs between images; they are also drawn after the last epoch.
            steps_per_epoch: Steps of a complete epoch.
            epochs: Epochs of the complete run.
            tell: Returns sentences that the model generates, which are written every epoch; an
                empty string if it generates none.
            trackers: The trackers to log each epoch's metrics to; default: TensorBoard.
        """
        super().__init__()
        self._directory = directory
        self._draw, self._tell = draw, tell
        self._picture_epochs, self._steps_per_epoch = picture_epochs, steps_per_epoch
        self._epochs = epochs
        self._trackers = trackers
        if trackers is None or trackers.tensorboard:
            self._writer = tf.summary.create_file_writer(str(directory.tensorboard))
        else:
            self._writer = tf.summary.create_noop_writer()
        earlier = [row.get("seconds", 0.0) for row in directory.metric_rows()]  # of a resumed run
        self._began = time.monotonic() - max(earlier, default=0.0)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Writes the epoch's metrics, images and sentences."""
        metrics = {name: float(value) for name, value in (logs or {}).items()}
        step = (epoch + 1) * self._steps_per_epoch
        seconds = round(time.monotonic() - self._began, 3)
        self._directory.add_metrics(
            {"epoch": epoch + 1, "step": step, "seconds": seconds, **metrics}
        )
        last = epoch + 1 == self._epochs
        named = {_tag(name): value for name, value in metrics.items()}
        if self._trackers is not None:
            self._trackers.log(named, step)
        with self._writer.as_default(step=step):
            for tag, value in named.items():
                tf.summary.scalar(tag, value)
            if last or (epoch + 1) % self._picture_epochs == 0:
                for name, image in self._draw().items():
                    tf.summary.image(name, image[tf.newaxis])
            sentences = self._tell()
            if sentences:
                self._directory.add_sentences(epoch + 1, sentences)
                tf.summary.text("sentences", f"```\n{sentences}\n```")
        self._writer.flush()


def _tag(name: str) -> str:
    """Returns TensorBoard's name of a metric: `training/kl`, `validation/kl`."""
    group = "validation" if name.startswith("val_") else "training"
    return f"{group}/{name.removeprefix('val_')}"
