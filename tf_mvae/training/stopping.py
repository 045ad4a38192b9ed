"""Stops a run at a signal, in one process or in several that stop after the same step."""

import signal
from collections.abc import Callable
from typing import Any

import tensorflow as tf

__all__ = ["SIGNALS", "StopRequest", "Stopped"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(Exception):
    """Training was stopped by a signal, and a checkpoint has been written.

    Attributes:
        signal: The signal's number.
        step: The optimizer step of the checkpoint.
    """

    def __init__(self, number: int, step: int):
        """Makes the exception with the signal's number and the step."""
        super().__init__(f"stopped by signal {number} at step {step}")
        self.signal = number
        self.step = step


class StopRequest:
    """Records signals during training.

    Attributes:
        asked: The signal that this process was sent, or None.
        agreed: The signal at which the run stops after this step, or None. For processes that train
            together `agree` sets it; for a single process it is `asked`.
    """

    def __init__(self, on_signal: Callable[[], object] = lambda: None):
        """Makes a request without a signal.

        Args:
            on_signal: Called at every signal.
        """
        self._on_signal = on_signal
        self.asked: int | None = None
        self._shared, self._agreed = False, None
        self._handlers: dict[int, Any] = {}

    @property
    def agreed(self) -> int | None:
        """The signal at which the run stops after this step, or None."""
        return self._agreed if self._shared else self.asked

    def agree(self, votes: tf.Tensor | None) -> None:
        """Sets `agreed` by the votes of all processes.

        Args:
            votes: The number of processes that were sent each of `SIGNALS`; None before the first
                step.
        """
        self._shared = True
        if votes is not None:
            sent = [number for number, vote in zip(SIGNALS, votes.numpy(), strict=True) if vote]
            self._agreed = max(sent, default=None)

    def listen(self) -> None:
        """Installs handlers that record signals."""
        self._handlers = {number: signal.signal(number, self._note) for number in SIGNALS}

    def give_back(self) -> None:
        """Restores the former handlers."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def _note(self, number: int, frame: Any) -> None:
        self.asked = number
        self._on_signal()
