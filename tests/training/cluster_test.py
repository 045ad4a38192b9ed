"""Who is waited for, by address, without TensorFlow."""

import contextlib
import json
import socket
import time

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
        (["a:1", "b"], "'b' is no HOST:PORT"),
        (["a:1", "b:x"], "'b:x' is no"),
        (["a:1", "b:70000"], "'b:70000' is no"),
        (["a:1", 7], "7 is no"),
        (["a:1", "a:1"], "two tasks have one address"),
        ("a:1", "is no HOST:PORT"),
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
    monkeypatch.setattr(cluster, "_FIRST_REPORT", 0.01)
    monkeypatch.setattr(cluster, "_BETWEEN_REPORTS", 0.01)
    lines = []
    monkeypatch.setattr(cluster, "_say", lines.append)
    missing = gone()
    with Cluster({"worker 0": gone(), "worker 1": missing}, "worker 0").waiting_named():
        while len(lines) < 2:
            time.sleep(0.01)
    assert lines[0].startswith("worker 0 has waited 0 s for ")
    assert f"worker 1 ({missing}), 1 of 2 tasks" in lines[1]
    with listening() as here:
        lines.clear()
        with Cluster({"worker 0": gone(), "worker 1": here}, "worker 0").waiting_named():
            time.sleep(0.1)
    assert lines == []
