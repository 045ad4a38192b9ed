"""The processes that train together, as TF_CONFIG names them, and which of them have arrived."""

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
        "Where to train: on one device, on all of this machine, or with the processes that "
        "TF_CONFIG names. tpu and parameter_server are not supported yet.",
        choices=STRATEGIES,
        is_recorded=False,
    ),
    Setting(
        "num_logical_cpus",
        0,
        "As how many devices the CPU counts, to try a strategy; 0 as it is.",
        checks.non_negative_integer,
        is_recorded=False,
    ),
)
_UNSUPPORTED = {
    "tpu": "no step of this package has run on a TPU",
    "parameter_server": "its workers take steps on weights of different ages, so that a run would "
    "depend on their number",
}
# Seconds.
_FIRST_REPORT, _BETWEEN_REPORTS, _BETWEEN_PROBES, _PROBE = 5.0, 10.0, 0.2, 1.0


def check_strategy(name: str, num_logical_cpus: int = 0) -> None:
    """Checks what can be known of a strategy without TensorFlow.

    Args:
        name: One of `STRATEGIES`.
        num_logical_cpus: See `tf_mvae.training.make_strategy`.

    Raises:
        UserError: The strategy is not supported, or `TF_CONFIG` is missing or wrong.
    """
    if name not in STRATEGIES:
        raise UserError(f"--strategy={name} is not known; there are {', '.join(STRATEGIES)}")
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
        tasks: Their addresses, `HOST:PORT`, by name, such as `worker 0`.
        own: The name of this process.
    """

    tasks: Mapping[str, str]
    own: str

    @classmethod
    def from_environment(cls) -> "Cluster":
        """Reads TF_CONFIG.

        Raises:
            UserError: It is missing or wrong, in words that TensorFlow's own errors do not have.
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
                f"TF_CONFIG has roles {sorted(roles)}; take chief and worker, as {example}"
            )
        wrong = [each for each in tasks.values() if not lists or not _is_address(each)]
        if wrong or len(set(tasks.values())) < len(tasks):
            words = f"{wrong[0]!r} is no HOST:PORT" if wrong else "two tasks have one address"
            raise UserError(f"TF_CONFIG is not of the form {example}: {words}")
        return cls(tasks, f"{kind} {index}")

    @property
    def port(self) -> str:
        """The port that this process listens at."""
        return self.tasks[self.own].rpartition(":")[2]

    def absent(self) -> list[str]:
        """Returns the other processes that accept no connection, `worker 1 (HOST:PORT)` each."""
        others = {name: address for name, address in self.tasks.items() if name != self.own}
        return [f"{name} ({where})" for name, where in others.items() if not _listens(where)]

    def wait(self) -> None:
        """Returns when every other process accepts connections; says who does not yet.

        TensorFlow waits for them too, but in silence, without a limit, and deaf to signals. This
        process accepts connections meanwhile, so that others that wait so see it.
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
        """Listens at the port that TensorFlow will take; it names a port that is taken."""
        port = int(self.tasks[self.own].rpartition(":")[2])
        try:
            server = socket.create_server(("", port), backlog=len(self.tasks) + 8)
        except OSError:
            yield
            return
        with server:
            yield


def _is_address(value: object) -> bool:
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    return bool(host) and port.isdecimal() and 0 < int(port) < 65536


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _PROBE):
            return True
    except OSError:
        return False


def _listed(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
