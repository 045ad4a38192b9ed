"""Batching: waiting requests run together, and each gets its own rows."""

import concurrent.futures
import threading

import numpy as np
import pytest

from tests.serving import server_tools
from tests.serving.server_tools import save_stranger, wait_until
from tf_mvae.serving.server.saved_model import ServedVersion


def serving(folder, **settings):
    """Serves models that this package did not export, with batching."""
    return server_tools.serving(folder, **{"batch_any_model": True, **settings})


class Gate:
    """Blocks the model's calls, and records their inputs."""

    def __init__(self):
        self.open = threading.Event()
        self.calls = []
        self._run = ServedVersion.run

    def run(self, version, name, inputs):
        self.calls.append((name, {key: np.array(value) for key, value in inputs.items()}))
        assert self.open.wait(60)
        return self._run(version, name, inputs)

    def sizes(self, name):
        return [len(next(iter(inputs.values()))) for found, inputs in self.calls if found == name]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = tmp_path_factory.mktemp("served")
    save_stranger(base / "1")
    return base


@pytest.fixture
def gate(monkeypatch):
    gate = Gate()
    yield gate
    gate.open.set()


def close(gate, monkeypatch):
    """Blocks calls from now on, after loading and warm-up."""
    monkeypatch.setattr(ServedVersion, "run", lambda *args: gate.run(*args))


def queued(client):
    return client.metrics.queued._value.get()


def test_requests_that_wait_are_run_together_and_split_exactly(folder, gate, monkeypatch):
    rows = np.random.default_rng(0).normal(size=[40, 2]).astype(np.float32)
    parts = np.split(rows, [1, 2, 3, 5, 8, 13, 21, 34])  # requests of several sizes
    with serving(folder, max_batch_size=16, num_threads=2) as client:
        close(gate, monkeypatch)
        with concurrent.futures.ThreadPoolExecutor(len(parts)) as pool:
            first = pool.submit(client.columns, "serving_default", x=parts[0])
            wait_until(lambda: gate.calls)
            rest = [pool.submit(client.columns, "serving_default", x=part) for part in parts[1:]]
            # The second thread takes a batch when a whole one waits; the rest stays.
            wait_until(lambda: len(gate.calls) == 2 and queued(client) >= 1)
            gate.open.set()
            answers = [future.result() for future in [first, *rest]]
    for part, answer in zip(parts, answers, strict=True):
        np.testing.assert_array_equal(np.array(answer, np.float32), 2 * part)
    sizes = gate.sizes("serving_default")
    assert sum(sizes) == 40 and max(sizes) <= 16 and len(sizes) < len(parts)


def test_without_batching_each_request_is_one_call(folder, gate, monkeypatch):
    with serving(folder, batching=False) as client:
        close(gate, monkeypatch)
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            found = [pool.submit(client.columns, "serving_default", x=[[i, 0]]) for i in range(6)]
            wait_until(lambda: len(gate.calls) == 2 and queued(client) == 4)
            gate.open.set()
            assert [f.result() for f in found] == [[[2 * i, 0]] for i in range(6)]
    assert gate.sizes("serving_default") == [1] * 6


def test_a_batch_waits_for_more_as_long_as_it_is_told(folder, gate, monkeypatch):
    gate.open.set()
    with serving(folder, batch_timeout_micros=30_000_000, max_batch_size=3) as client:
        close(gate, monkeypatch)
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            first = [pool.submit(client.columns, "serving_default", x=[[i, 0]]) for i in range(2)]
            wait_until(lambda: queued(client) == 2)
            assert not gate.calls
            pool.submit(client.columns, "serving_default", x=[[5, 0]]).result()
            assert [f.result() for f in first] == [[[0, 0]], [[2, 0]]]
    assert gate.sizes("serving_default") == [3]


def run_behind_a_held_call(client, gate, monkeypatch, calls):
    """Sends a call that is blocked, then others that wait together; returns their responses."""
    close(gate, monkeypatch)
    with concurrent.futures.ThreadPoolExecutor(len(calls) + 1) as pool:
        held = pool.submit(client.columns, "serving_default", x=[[0, 0]])
        wait_until(lambda: gate.calls)
        found = [
            pool.submit(client.predict, {"signature_name": name, "inputs": inputs})
            for name, inputs in calls
        ]
        wait_until(lambda: queued(client) == len(calls))
        gate.open.set()
        held.result()
        return [future.result() for future in found]


def test_examples_that_meet_in_the_model_are_not_batched(folder, gate, monkeypatch):
    """A signature that subtracts the batch's mean has a free batch size, and must run alone."""
    with serving(folder, num_threads=1) as client:
        found = run_behind_a_held_call(
            client, gate, monkeypatch, [("centred", [i, i + 2]) for i in range(4)]
        )
    assert found == [(200, {"outputs": [-1, 1]})] * 4
    assert gate.sizes("centred") == [2] * 4


def test_one_bad_request_spoils_no_other(folder, gate, monkeypatch):
    with serving(folder, num_threads=1) as client:
        found = run_behind_a_held_call(
            client, gate, monkeypatch, [("picky", [i]) for i in (0, 7, 2)]
        )
    assert gate.sizes("picky") == [3, 1, 1, 1]  # together, then each alone
    assert found[0] == (200, {"outputs": [10]}) and found[2] == (200, {"outputs": [12]})
    assert found[1][0] == 400


def test_only_inputs_of_one_shape_meet(folder, gate, monkeypatch):
    with serving(folder, num_threads=1) as client:
        found = run_behind_a_held_call(
            client,
            gate,
            monkeypatch,
            [("free", [[1]]), ("free", [[1, 2]]), ("free", [[3]])],
        )
    answers = [body["outputs"] for _, body in found]
    assert answers == [[[2]], [[2, 3]], [[4]]]
    assert sorted(gate.sizes("free")) == [1, 2]


def test_a_full_queue_refuses_and_says_when_to_come_again(folder, gate, monkeypatch):
    with serving(folder, num_threads=1, max_queue=3) as client:
        close(gate, monkeypatch)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            waiting = [pool.submit(client.columns, "serving_default", x=[[0, 0]])]
            wait_until(lambda: gate.calls)
            waiting += [
                pool.submit(client.columns, "serving_default", x=[[i, 0]]) for i in (1, 2, 3)
            ]
            wait_until(lambda: queued(client) == 3)
            status, headers, body = client.ask(
                "POST", "/v1/models/stranger:predict", {"instances": [[9, 9]]}
            )
            assert status == 503 and headers["retry-after"] == "1" and "wait" in body["error"]
            # Probes are answered all the same.
            assert client.ask("GET", "/healthz")[0] == 200
            gate.open.set()
            assert [f.result() for f in waiting] == [[[2 * i, 0]] for i in range(4)]
        assert client.predict({"instances": [[1, 2]]}) == (200, {"predictions": [[2, 4]]})
    assert client.metrics.refused.labels("queue_full")._value.get() == 1


def test_an_answer_that_takes_too_long_is_504_and_its_place_is_free(folder, gate, monkeypatch):
    with serving(folder, num_threads=1, request_seconds=0.3) as client:
        close(gate, monkeypatch)
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            found = list(pool.map(client.predict, [{"instances": [[i, i]]} for i in range(3)]))
        assert [status for status, _ in found] == [504] * 3
        assert queued(client) == 0
        gate.open.set()
        wait_until(lambda: client.predict({"instances": [[1, 2]]})[0] == 200)


def test_a_failure_of_the_server_is_500_without_its_insides(folder, monkeypatch):
    with serving(folder) as client:
        with monkeypatch.context() as broken:
            broken.setattr(ServedVersion, "run", lambda *_: {}["/secret"])
            status, found = client.predict({"instances": [[1, 2]]})
        assert status == 500 and "secret" not in found["error"]
        assert client.predict({"instances": [[1, 2]]})[0] == 200
