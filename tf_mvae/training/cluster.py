"""The processes of a distributed run: reads TF_CONFIG, and waits until all have started."""

import contextlib
import dataclasses
import json
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

from tf_mvae import checks
from tf_mvae.errors import UserError
from tf_mvae.settings import Setting

__all__ = ["SETTINGS", "STRATEGIES", "Cluster", "check_strategy"]

STRATEGIES = ("default", "mirrored", "multi_worker", "tpu", "parameter_server")
SETTINGS = (
    Setting(
        "strategy",
        "default",
        "Devices to train on: one, all of this machine (mirrored), or those of the "
        "processes in TF_CONFIG (multi_worker). tpu and parameter_server are not "
        "supported yet.",
        choices=STRATEGIES,
        is_recorded=False,
    ),
    Setting(
        "num_logical_cpus",
        0,
        "Number of logical devices of the CPU, to try a strategy without GPUs; 0: no change.",
        checks.non_negative_integer,
        is_recorded=False,
    ),
)
_UNSUPPORTED = {
    "tpu": "no step of this package has run on a TPU",
    "parameter_server": "its workers compute gradients from weights of different steps, so the "
    "result would depend on their number",
}
# In seconds.
_FIRST_REPORT, _BETWEEN_REPORTS, _BETWEEN_PROBES, _PROBE = 5.0, 10.0, 0.2, 1.0


def check_strategy(name: str, num_logical_cpus: int = 0) -> None:
    """Checks a strategy's name and TF_CONFIG without importing TensorFlow.

    Args:
        name: One of `STRATEGIES`.
        num_logical_cpus: See `tf_mvae.training.make_strategy`.

    Raises:
        UserError: The strategy is not supported, or `TF_CONFIG` is missing or wrong.
    """
    if name not in STRATEGIES:
        raise UserError(f"--strategy={name} is unknown; choose one of {', '.join(STRATEGIES)}")
    if name in _UNSUPPORTED:
        raise UserError(
            f"--strategy={name} is not supported ({_UNSUPPORTED[name]}); take mirrored or "
            "multi_worker"
        )
    if num_logical_cpus < 0:
        raise UserError(f"--num_logical_cpus must not be negative; it is {num_logical_cpus}")
    if name == "multi_worker":
        Cluster.from_environment()


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The processes of a run.

    Attributes:
        tasks: The processes' addresses, `HOST:PORT`, by name, such as `worker 0`.
        own: The name of this process.
    """

    tasks: Mapping[str, str]
    own: str

    @classmethod
    def from_environment(cls) -> "Cluster":
        """Reads the environment variable TF_CONFIG.

        Raises:
            UserError: It is missing or has another form; the message has an example.
        """
        text = os.environ.get("TF_CONFIG", "")
        example = (
            '{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": 0}}'
        )
        if not text:
            raise UserError(f"--strategy=multi_worker needs TF_CONFIG={example}")
        try:
            config = json.loads(text)
            cluster, task = config["cluster"], config["task"]
            roles, kind, index = set(cluster), task["type"], int(task["index"])
            address = cluster[kind][index]
            lists = all(isinstance(addresses, list) for addresses in cluster.values())
            tasks = {
                f"{role} {number}": each
                for role, addresses in cluster.items()
                for number, each in enumerate(addresses)
            }
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise UserError(f"TF_CONFIG is not of the form {example}: {error!r}") from error
        if not roles <= {"chief", "worker"} or index < 0 or not isinstance(address, str):
            raise UserError(
                f"TF_CONFIG has roles {sorted(roles)}; use chief and worker, as {example}"
            )
        wrong = [each for each in tasks.values() if not lists or not _is_address(each)]
        if wrong or len(set(tasks.values())) < len(tasks):
            words = f"{wrong[0]!r} is not HOST:PORT" if wrong else "two tasks have one address"
            raise UserError(f"TF_CONFIG is not of the form {example}: {words}")
        return cls(tasks, f"{kind} {index}")

    @property
    def port(self) -> str:
        """The port that this process listens on."""
        return self.tasks[self.own].rpartition(":")[2]

    def absent(self) -> list[str]:
        """Returns the processes that do not accept connections, as `worker 1 (HOST:PORT)`."""
        others = {name: address for name, address in self.tasks.items() if name != self.own}
        return [f"{name} ({where})" for name, where in others.items() if not _listens(where)]

    def wait(self) -> None:
        """Waits until every other process accepts connections, and reports which do not yet.

        TensorFlow waits for them too, but without a message, without a limit, and without reacting
        to signals. Meanwhile this process accepts connections, so that other waiting processes find
        it.
        """
        begin, report = time.monotonic(), _FIRST_REPORT
        with self._listening():
            while absent := self.absent():
                waited = time.monotonic() - begin
                if waited >= report:
                    report = waited + _BETWEEN_REPORTS
                    print(
                        f"{self.own} has waited {waited:.0f} s for {_listed(absent)}; "
                        f"{len(self.tasks) - len(absent)} of {len(self.tasks)} tasks of TF_CONFIG "
                        "are here",
                        file=sys.stderr,
                        flush=True,
                    )
                time.sleep(_BETWEEN_PROBES)

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        """Listens on this process's port until TensorFlow does; TensorFlow reports a used port."""
        port = int(self.tasks[self.own].rpartition(":")[2])
        try:
            server = socket.create_server(("", port), backlog=len(self.tasks) + 8)
        except OSError:
            yield
            return
        with server:
            yield


def _is_address(value: object) -> bool:
    """Returns whether a value is of the form `HOST:PORT`."""
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    return bool(host) and port.isdecimal() and 0 < int(port) < 65536


def _listens(address: str) -> bool:
    """Returns whether a process accepts connections at an address."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _PROBE):
            return True
    except OSError:
        return False


def _listed(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
