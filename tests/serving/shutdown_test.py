"""A signal during the loading of a version ends the server without waiting for it."""

import asyncio
import json
import os
import shutil
import signal

import pytest

from tests import processes
from tests.serving.server_tools import save_stranger
from tf_mvae.serving.server import run

# The command; loading a version does not end, if its number is the last argument.
SLOW = """
import sys, time
slow = sys.argv.pop()
sys.argv[0] = "-m"
import tensorflow as tf
from tf_mvae import command, serve
load = tf.saved_model.load
def slowly(directory):
    if directory.endswith("/" + slow):
        print("loading", flush=True)
        time.sleep(600)
    return load(directory)
tf.saved_model.load = slowly
command.run(serve.main)
"""


def start(base, slow):
    flags = ["--port=0", "--poll_seconds=0.05", f"--model_dir={base}"]
    return processes.start("-c", SLOW, *flags, slow)


@pytest.fixture
def base(tmp_path):
    base = tmp_path / "served"
    save_stranger(base / "1")
    return base


def test_a_signal_while_a_version_is_loaded_ends_it_at_once(base):
    first, later = start(base, "1"), start(base, "2")
    try:
        assert first.stdout.readline() == "loading\n"
        first.send_signal(signal.SIGTERM)
        assert ended(first) == (143, "ended before a version was loaded")
        while "listening" not in later.stderr.readline():
            pass
        shutil.copytree(base / "1", base / "new")
        (base / "new").rename(base / "2")
        assert later.stdout.readline() == "loading\n"
        later.send_signal(signal.SIGTERM)
        assert ended(later) == (0, "ended while a version was loaded")
    finally:
        for process in (first, later):
            process.kill()
            process.communicate()


def ended(process):
    _, errors = process.communicate(timeout=60)
    return process.returncode, json.loads(errors.splitlines()[-1])["event"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_status_is_that_of_the_signal(monkeypatch, number):
    ended = []
    before = signal.getsignal(number)

    async def load():
        with run._ending_at_once():
            os.kill(os.getpid(), number)
            while not ended:
                await asyncio.sleep(0.01)
        return signal.getsignal(number)

    monkeypatch.setattr(run, "_exit", ended.append)
    kept = asyncio.run(load())
    assert ended == [128 + number]
    assert kept is before or number == signal.SIGINT  # asyncio has its own
    assert signal.getsignal(number) is before
