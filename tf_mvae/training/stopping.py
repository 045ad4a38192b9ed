"""Asking a run to stop, in one process or in many that have to agree."""

import signal
from typing import Any

import tensorflow as tf

__all__ = ["SIGNALS", "StopRequest", "Stopped"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(Exception):
    """Training was asked to stop, and a checkpoint has been written.

    Attributes:
        signal: The signal's number.
        step: The optimizer step that the checkpoint holds.
    """

    def __init__(self, number: int, step: int):
        """Keeps the signal's number and the step."""
        super().__init__(f"stopped by signal {number} at step {step}")
        self.signal = number
        self.step = step


class StopRequest:
    """Notes signals while training.

    Attributes:
        asked: The signal that this process was sent, or None.
        agreed: The signal at which the run stops after this step, or None. Processes that
            train together set it by `agree`; one alone agrees with itself.
    """

    def __init__(self):
        """Has not been asked."""
        self.asked: int | None = None
        self._shared, self._agreed = False, None
        self._handlers: dict[int, Any] = {}

    @property
    def agreed(self) -> int | None:
        """See the class."""
        return self._agreed if self._shared else self.asked

    def agree(self, votes: tf.Tensor | None) -> None:
        """Takes the number of processes that were sent each signal; None is nobody yet."""
        self._shared = True
        if votes is not None:
            sent = [number for number, vote in zip(SIGNALS, votes.numpy(), strict=True) if vote]
            self._agreed = max(sent, default=None)

    def listen(self) -> None:
        """Takes over the signals."""
        self._handlers = {number: signal.signal(number, self._note) for number in SIGNALS}

    def give_back(self) -> None:
        """Gives the signals back."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def _note(self, number: int, frame: Any) -> None:
        self.asked = number
