"""Waiting for other processes, by address, without TensorFlow."""

import contextlib
import json
import socket

import pytest

from tf_mvae.errors import UserError
from tf_mvae.training import cluster
from tf_mvae.training.cluster import Cluster


@contextlib.contextmanager
def listening():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def gone():
    with listening() as address:
        return address


def test_tasks_are_named_as_tf_config_has_them(monkeypatch):
    tasks = {"chief": ["a:1"], "worker": ["b:1", "c:2"]}
    config = {"cluster": tasks, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    found = Cluster.from_environment()
    assert found.tasks == {"chief 0": "a:1", "worker 0": "b:1", "worker 1": "c:2"}
    assert found.own == "worker 1"


@pytest.mark.parametrize(
    ("addresses", "words"),
    [
        (["a:1", "b"], "'b' is not HOST:PORT"),
        (["a:1", "b:x"], "'b:x' is no"),
        (["a:1", "b:70000"], "'b:70000' is no"),
        (["a:1", 7], "7 is no"),
        (["a:1", "a:1"], "two tasks have one address"),
        ("a:1", "is not HOST:PORT"),
    ],
)
def test_addresses_that_are_none_are_named(monkeypatch, addresses, words):
    config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    with pytest.raises(UserError, match="TF_CONFIG") as caught:
        Cluster.from_environment()
    assert words in str(caught.value)


def test_who_does_not_listen_is_absent():
    with listening() as here:
        missing = gone()
        found = Cluster({"worker 0": gone(), "worker 1": here, "worker 2": missing}, "worker 0")
        assert found.absent() == [f"worker 2 ({missing})"]


def test_who_is_waited_for_is_printed_again_and_again_until_all_are_there(monkeypatch, capsys):
    monkeypatch.setattr(cluster, "_FIRST_REPORT", 0.0)
    monkeypatch.setattr(cluster, "_BETWEEN_REPORTS", 0.0)
    own, missing = gone(), gone()
    with contextlib.ExitStack() as arrived:
        pauses = []

        def pause(seconds):
            """The other process starts at the third check; this one listens meanwhile."""
            assert cluster._listens(own)
            pauses.append(seconds)
            if len(pauses) == 2:
                port = int(missing.rpartition(":")[2])
                arrived.enter_context(socket.create_server(("127.0.0.1", port)))

        monkeypatch.setattr(cluster.time, "sleep", pause)
        Cluster({"worker 0": own, "worker 1": missing}, "worker 0").wait()
    lines = capsys.readouterr().err.splitlines()
    words = f"worker 0 has waited 0 s for worker 1 ({missing}); 1 of 2 tasks of TF_CONFIG are here"
    assert lines == [words, words]
    assert not cluster._listens(own)  # TensorFlow can take the port


def test_nothing_is_printed_where_all_are_there_or_the_port_is_taken(capsys):
    with listening() as here, listening() as taken:
        Cluster({"worker 0": gone(), "worker 1": here}, "worker 0").wait()
        Cluster({"worker 0": taken, "worker 1": here}, "worker 0").wait()
    assert capsys.readouterr().err == ""
