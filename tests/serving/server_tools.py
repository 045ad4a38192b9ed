"""A server in a thread or a process, a client, SavedModels without this package."""

import asyncio
import contextlib
import http.client
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

import numpy as np
import tensorflow as tf

from tests import processes
from tf_mvae.serving import export_saved_model
from tf_mvae.serving.server.metrics import Metrics
from tf_mvae.serving.server.repository import Repository
from tf_mvae.serving.server.run import make_server
from tf_mvae.serving.server.settings import Settings

ROOT = pathlib.Path(__file__).parents[2]

# Runs the command, then says which modules it has loaded.
WITNESS = (
    "import sys; sys.argv[0] = '-m'; from tf_mvae import command, serve; import atexit; "
    "atexit.register(lambda: print(*sorted(sys.modules), flush=True)); command.run(serve.main)"
)


def wait_until(condition, seconds=60):
    """Returns when a condition is true; a test whose condition never is fails."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "never came true"
        time.sleep(0.01)


@contextlib.contextmanager
def serving_export(model, folder, version="."):
    """Exports a model into a folder, or as a version of it, and serves it as `tiny`."""
    export_saved_model(model, folder / version)
    with serving(folder, "tiny") as client:
        yield client


def save_stranger(directory, factor=2.0):
    """Writes a SavedModel with all kinds of signatures."""
    module = tf.Module()
    module.factor = tf.Variable(factor)

    def signature(function, *specs):
        return tf.function(function, autograph=False).get_concrete_function(
            **{spec.name: spec for spec in specs}
        )

    def spec(name, shape, dtype=tf.float32):
        return tf.TensorSpec(shape, dtype, name=name)

    def count(steps):
        """Takes a given number of steps, up to a few seconds."""
        most = tf.minimum(tf.reduce_max(steps), 100_000)
        last = tf.while_loop(lambda i: i < most, lambda i: i + 1, [tf.constant(0)])[0]
        return {"last": steps + 0 * last}

    signatures = {
        "serving_default": signature(lambda x: {"y": module.factor * x}, spec("x", [None, 2])),
        "named": signature(
            lambda a, b: {"total": a + tf.cast(b, tf.float32), "twice": 2 * b},
            spec("a", [None]),
            spec("b", [None], tf.int64),
        ),
        "strings": signature(lambda s: {"echo": s, "raw_bytes": s}, spec("s", [None], tf.string)),
        "repeat": signature(
            lambda x, times: {"y": tf.tile(x[None], [times, 1])},
            spec("x", [None]),
            spec("times", [], tf.int32),
        ),
        "centred": signature(lambda x: {"y": x - tf.reduce_mean(x)}, spec("x", [None])),
        "free": signature(lambda x: {"y": x + 1}, spec("x", [None, None])),
        "flags": signature(lambda on: {"off": tf.logical_not(on)}, spec("on", [None], tf.bool)),
        "small": signature(lambda n: {"n": n}, spec("n", [None], tf.uint8)),
        "logarithm": signature(lambda x: {"y": tf.math.log(x)}, spec("x", [None])),
        "picky": signature(
            lambda i: {"picked": tf.gather(tf.range(10, 15), i)}, spec("i", [None], tf.int32)
        ),
        "bounded": signature(
            lambda level, level_mask: {"y": level * level_mask},
            spec("level", [None]),
            spec("level_mask", [None]),
        ),
        "streamed": signature(
            lambda x, num_samples: {"y": x + 0 * tf.cast(num_samples, tf.float32)},
            spec("x", [None]),
            spec("num_samples", [], tf.int32),
        ),
        "drawn": signature(
            lambda num_samples: {"y": tf.zeros([num_samples])}, spec("num_samples", [], tf.int32)
        ),
        "count": signature(count, spec("steps", [None], tf.int32)),
    }
    tf.saved_model.save(module, str(directory), signatures=signatures)
    described = {"level": {"low": 0, "high": 1}, "level_mask": {"low": 0, "high": 1}}
    extra = pathlib.Path(directory) / "assets.extra"
    extra.mkdir()
    (extra / "tf_mvae.json").write_text(
        json.dumps({"signatures": {"bounded": {"inputs": described}}})
    )


class Client:
    """Sends requests to a server, by default one per connection."""

    def __init__(self, address, name):
        self.address = address
        self.name = name
        self.version = None

    def ask(self, method, path, body=None, headers=None, connection=None):
        """Returns the status, the headers and the parsed body."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        own = connection or http.client.HTTPConnection(*self.address, timeout=120)
        try:
            own.request(method, path, body, headers or {})
            answer = own.getresponse()
            content = answer.read()
        finally:
            if connection is None:
                own.close()
        kind = answer.headers.get("content-type", "")
        return (
            answer.status,
            answer.headers,
            json.loads(content) if content and "json" in kind else content,
        )

    def predict(self, body, at="", **options):
        """Returns the status and the body."""
        status, _, found = self.ask("POST", f"/v1/models/{self.name}{at}:predict", body, **options)
        return status, found

    def columns(self, signature, **inputs):
        """Returns the outputs of a call in columnar format."""
        listed = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in inputs.items()}
        status, found = self.predict({"signature_name": signature, "inputs": listed})
        assert status == 200, found
        return found["outputs"]


class Running(Client):
    """A client that also holds the server's parts."""

    def __init__(self, address, name, repository, loop, metrics, grpc_address=None):
        super().__init__(address, name)
        self.grpc_address = grpc_address
        self.repository = repository
        self.metrics = metrics
        self._loop = loop

    def refresh(self):
        """Makes the server look for new versions, and waits for it."""
        asyncio.run_coroutine_threadsafe(self.repository.refresh(), self._loop).result(120)


@contextlib.contextmanager
def serving(directory, name="stranger", **settings):
    """Serves a directory at a free port of loopback, in a thread."""
    settings = Settings(directory, name, **{"port": 0, "poll_seconds": 0, **settings})
    metrics = Metrics()
    repository = Repository(settings, metrics)
    server = make_server(settings, repository, metrics)
    started = threading.Event()
    found = {}

    async def main():
        found["loop"] = asyncio.get_running_loop()
        try:
            await repository.load_first()
            serve = asyncio.create_task(server.serve())
            while not server.started and not serve.done():
                await asyncio.sleep(0.01)
        finally:
            started.set()
        await serve

    thread = threading.Thread(target=asyncio.run, args=[main()])
    thread.start()
    started.wait(120)
    try:
        yield Running(server.address, name, repository, found["loop"], metrics, server.grpc_address)
    finally:
        server.should_exit = True
        thread.join(60)
    assert not thread.is_alive()


@contextlib.contextmanager
def started(*flags, name="stranger", witness=False, **environment):
    """Starts the command at a free port; gives the process, a client, and its log's lines."""
    arguments = ["--port=0", *map(str, flags)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    if witness:
        process = subprocess.Popen(
            [sys.executable, "-c", WITNESS, *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
    else:
        process = processes.start("-m", "tf_mvae.serve", *arguments, env=environment)
    lines = []
    try:
        for text in process.stderr:
            lines.append(json.loads(text))
            if lines[-1]["event"] == "listening":
                break
        assert lines and lines[-1]["event"] == "listening", process.stderr.read()
        client = Client((lines[-1]["host"], lines[-1]["port"]), name)
        yield process, client, lines
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
