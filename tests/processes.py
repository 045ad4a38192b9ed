"""Python processes that begin with TensorFlow imported, so that they start in a moment.

Importing TensorFlow takes seconds of a processor, more than most tests of commands need for the
rest. One process of each pytest worker imports it once, without using it, and is forked for each
program (`multiprocessing`'s fork server). Tests of what a command imports start `python` itself.
"""

import atexit
import concurrent.futures
import dataclasses
import functools
import multiprocessing
import os
import pathlib
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing import reduction
from typing import IO

__all__ = ["Started", "run", "start"]

ROOT = pathlib.Path(__file__).parents[1]


@functools.cache
def _context() -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.preloaded"])
    return context


@dataclasses.dataclass
class _Descriptor:
    """A file's descriptor, which has another number in the process that it is sent to."""

    number: int

    def __reduce__(self):
        return _received, (reduction.DupFd(self.number),)


def _received(duplicate) -> int:
    return duplicate.detach()


def _execute(
    arguments: list[str], output: int, errors: int, cwd: str, environment: dict[str, str]
) -> None:
    """What a process does: as `python` with these arguments."""
    for number, descriptor in ((1, output), (2, errors)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    # Tests that run in the background, where SIGINT is ignored, start processes that do so too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    option, program, *flags = arguments
    sys.argv = [option, *flags]
    try:
        if option == "-m":
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        else:
            exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})
    finally:
        atexit._run_exitfuncs()  # a forked process ends without them


@dataclasses.dataclass
class Started:
    """A process; methods are those of `subprocess.Popen`."""

    _process: multiprocessing.process.BaseProcess
    stdout: IO[str]
    stderr: IO[str]

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self._process.pid, number)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Returns output and errors when the process has ended."""
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            read = [pool.submit(file.read) for file in (self.stdout, self.stderr)]
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        return read[0].result(), read[1].result()


def start(*arguments: object, env: Mapping[str, str] = os.environ, cwd: object = ROOT) -> Started:
    """Starts `python -m MODULE FLAGS` or `python -c PROGRAM FLAGS`.

    Args:
        *arguments: What would follow `python`.
        env: The environment's variables.
        cwd: The working directory.
    """
    (output, output_end), (errors, errors_end) = os.pipe(), os.pipe()
    ends = _Descriptor(output_end), _Descriptor(errors_end)
    settings = (list(map(str, arguments)), *ends, str(cwd), dict(env))
    process = _context().Process(target=_execute, args=settings, daemon=True)
    try:
        process.start()
    finally:
        os.close(output_end)
        os.close(errors_end)
    return Started(process, open(output), open(errors))


def run(*arguments: object, **settings: object) -> subprocess.CompletedProcess:
    """Runs such a process to its end, as `subprocess.run` with `capture_output`."""
    started = start(*arguments, **settings)
    with started.stdout, started.stderr:
        output, errors = started.communicate()
    return subprocess.CompletedProcess(arguments, started.returncode, output, errors)
