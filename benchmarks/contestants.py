"""Processes that `training_step.py` and `quality_for_time.py` compare, a model in each.

A contestant is started once and then asked, one question at a time, so that contestants take turns
while the others wait for their next line. `peers/step_protocol.py` is the other end.
"""

import json
import os
import pathlib
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

__all__ = ["Contestant", "Failed", "machine", "ours", "processor", "theirs"]

HERE = pathlib.Path(__file__).parent


class Failed(Exception):
    """A contestant has no answer; the message says why, in a line."""


class Contestant:
    """A process that answers questions.

    Attributes:
        limit: Seconds that an answer may take; None for no limit. It may change between questions.
        start_seconds: From its start until its model was ready.
    """

    def __init__(self, command: Sequence[str], limit: float | None = None):
        """Starts the process and waits until its model is ready.

        Args:
            command: What to run.
            limit: Seconds that an answer may take; no limit if None.

        Raises:
            Failed: It ended, its model could not be built, or not in time. The process is stopped.
        """
        self.limit = limit
        self._log = tempfile.TemporaryFile("w+")
        # A path of ours would show another Python the packages of this one.
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        if command[0] == sys.executable:
            environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
        # What `torch.compile` kept of another run would make its first step short.
        self._cache = tempfile.TemporaryDirectory()
        environment["TORCHINDUCTOR_CACHE_DIR"] = self._cache.name
        begin = time.perf_counter()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment,
        )
        try:
            self._answer()
        except BaseException:
            self.stop()
            raise
        self.start_seconds = time.perf_counter() - begin

    def ask(self, do: str, **arguments: Any) -> Any:
        """Returns the answer to a question.

        Raises:
            Failed: There is none, or not in time.
        """
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def stop(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        self._log.close()
        self._cache.cleanup()

    def _answer(self) -> Any:
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(self.limit):
                raise Failed(f"no answer within {self.limit:.0f} s")
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {"error": f"the process ended: {self._last_line()}"}
        if "error" in answer:
            raise Failed(answer["error"])
        return answer["answer"]

    def _last_line(self) -> str:
        self._log.seek(0)
        lines = self._log.read().splitlines() or ["it said nothing"]
        return lines[-1]


def ours(folder: pathlib.Path, variant: str, steps_per_epoch: int = 1) -> list[str]:
    """Returns the command of one of our contestants."""
    script = str(HERE / "step_contestant.py")
    return [sys.executable, script, str(folder), variant, f"--steps_per_epoch={steps_per_epoch}"]


def theirs(python: str, script: str, folder: pathlib.Path, *flags: str) -> list[str]:
    """Returns the command of a contestant in another Python."""
    return [python, str(HERE / "peers" / script), str(folder), *flags]


def processor() -> str:
    """Returns the processor's name."""
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else os.uname().machine


def machine() -> dict[str, str | int]:
    """Returns the processor and how many of its cores this process may use."""
    return {"processor": processor(), "cores": len(os.sched_getaffinity(0))}
