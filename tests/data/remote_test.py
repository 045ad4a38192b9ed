"""Batches from a `tf.data` service equal those of this process, in the same order."""

import os
import signal

import numpy as np
import pytest
import tensorflow as tf

from tests import processes
from tests.data.sharding_test import batches, make_split, numbers
from tf_mvae.data import remote
from tf_mvae.data.binarization import binarize
from tf_mvae.data.pipeline import Split
from tf_mvae.data.sharding import Part
from tf_mvae.errors import UserError


@pytest.fixture(scope="module")
def address():
    with remote.run_service() as found:
        yield found


@pytest.mark.parametrize(
    "kwargs",
    [{}, {"streams": 4, "part": Part(1, 1, 2)}, {"first_epoch": 1, "skip_batches": 2}],
    ids=["whole", "part", "later"],
)
def test_a_service_makes_the_same_batches(address, kwargs):
    np.testing.assert_array_equal(
        numbers(batches(service=address, **kwargs)), numbers(batches(**kwargs))
    )


def test_draws_and_types_stay_the_same(address):
    grey = np.arange(50, dtype=np.uint8)[:, np.newaxis, np.newaxis, np.newaxis] * 5
    split = Split(tf.data.Dataset.from_tensor_slices({"x": {"image": grey}}), 50)
    split = binarize(split, "dynamic")
    found = list(batches(split, service=address))
    assert found[0]["x"]["image"].dtype == tf.uint8  # a quarter of float32's bytes on the wire
    for batch, expected in zip(found, batches(split), strict=True):
        np.testing.assert_array_equal(batch["x"]["image"], expected["x"]["image"])


def test_several_workers_are_noticed():
    """Each worker would make all batches, so examples would be repeated."""
    service = tf.data.experimental.service
    dispatcher = service.DispatchServer(service.DispatcherConfig(port=0))
    place = dispatcher.target.rpartition("/")[2]
    workers = [service.WorkerServer(service.WorkerConfig(place)) for _ in range(2)]
    dataset = batches(make_split(), service=dispatcher.target)
    with pytest.raises(tf.errors.InvalidArgumentError, match="it has to have one worker"):
        numbers(dataset)
    del workers


def test_addresses_that_are_none_are_named():
    with pytest.raises(UserError, match="is grpc://HOST:PORT, not 'localhost:1'"):
        batches(service="localhost:1")
    with pytest.raises(UserError, match="no tf.data service answers at grpc://localhost:1 "):
        batches(service="grpc://localhost:1")


def test_the_command_serves_until_told_to_stop(address):
    code = "from tf_mvae import command, data_service; command.run(data_service.main)"
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = processes.start("-c", code, "--port=0", env=environment)
    said = process.stdout.readline()
    assert "listens at every network interface" in said and "docs/scaling.md" in said
    found = said.partition("--data_service=")[2].split()[0]
    np.testing.assert_array_equal(numbers(batches(service=found)), numbers(batches()))
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0, process.stderr.read()
    port = address.rpartition(":")[2]
    taken = processes.run("-c", code, f"--port={port}")
    assert taken.returncode == 2
    assert f"error: no service can listen at port {port}" in taken.stderr
