"""Measures what hostile clients cost a server: `python -m tests.serving.hostile_figures`.

Starts `python -m tf_mvae.serve` for each attack, with a model of the digits' shapes, and prints
a table. The figures in docs/server.md are from it. Takes a few minutes.
"""

import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

from tests.serving.server_tools import Client, started
from tf_mvae import MVAE, Modality, likelihoods
from tf_mvae.serving import export_saved_model

PATIENCE = 40  # seconds after which a connection counts as never closed
DIGIT = {"image": [[[[0.0]] * 28] * 28], "label": [7]}


def main():
    with tempfile.TemporaryDirectory() as folder:
        base = pathlib.Path(folder)
        image = Modality("image", likelihoods.Bernoulli([28, 28, 1]))
        model = MVAE([image, Modality("label", likelihoods.Categorical(10))], latent_dim=64)
        export_saved_model(model, base / "digits" / "1")
        save_dependent(base / "dependent" / "1")
        save_half_plus_two(base / "half_plus_two" / "1")
        print("| attack | |\n|---|---|")
        for attack in (
            trailers,
            slow_body,
            many_samples,
            most_samples,
            large_answers,
            unread_answers,
            host,
            term_during_load,
            mixed_answers,
            half_plus_two,
        ):
            print(f"| {attack.__doc__.rstrip('.')} | {attack(base)} |", flush=True)


def trailers(base):
    """Memory after 5 s of trailers, in MB."""
    with server(base / "digits") as (process, client):
        before = resident(process)
        raw = socket.create_connection(client.address)
        raw.sendall(b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n")
        raw.sendall(b"\r\n0\r\n")
        line, end = b"x: " + b"y" * 1000 + b"\r\n", time.monotonic() + 5
        with contextlib.suppress(OSError):
            while time.monotonic() < end:
                raw.sendall(line * 100)
        return f"+{resident(process) - before:.0f}"


def slow_body(base):
    """Seconds until `GET /healthz` with a byte of its body every half second is closed."""
    with server(base / "digits") as (_, client):
        raw = socket.create_connection(client.address)
        raw.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
        began = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - began < PATIENCE:
                raw.sendall(b"x")
                time.sleep(0.5)
            return f"not within {PATIENCE}"
        return f"{time.monotonic() - began:.1f}"


def many_samples(base):
    """Longest wait of others while two `log_likelihood` of 1,000,000 samples run, in s."""
    return others_wait(base, 1_000_000)


def most_samples(base):
    """The same, of 65,536 samples."""
    return others_wait(base, 65_536)


def others_wait(base, samples):
    with server(base / "digits") as (_, client):
        body = {"signature_name": "log_likelihood", "inputs": {**DIGIT, "num_samples": samples}}
        one = {"signature_name": "encode", "inputs": DIGIT}
        client.predict(one)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            long = [pool.submit(client.predict, body) for _ in range(2)]
            time.sleep(0.2)
            waits = [timed(lambda: client.predict(one))]
            while not all(future.done() for future in long):
                waits.append(timed(lambda: client.predict(one)))
            statuses = sorted(future.result()[0] for future in long)
        return f"{max(waits):.2f} (statuses {', '.join(map(str, statuses))})"


def large_answers(base):
    """Longest wait of `/healthz` while eight `sample` of 4,096 are answered, in s."""
    with server(base / "digits") as (_, client):
        body = {"signature_name": "sample", "inputs": {"num_samples": 4096}}
        # A process of its own reads the answers; it would slow down the one that measures.
        readers = [
            subprocess.Popen(
                ["curl", "-s", "-o", os.devnull, "-d", json.dumps(body), address(client)],
                stderr=subprocess.DEVNULL,
            )
            for _ in range(8)
        ]
        waits = []
        while any(reader.poll() is None for reader in readers):
            waits.append(timed(lambda: client.ask("GET", "/healthz")))
        return f"{max(waits):.2f}"


def unread_answers(base):
    """Memory when twelve answers of 51 MB are asked for and not read, in MB."""
    with server(base / "digits") as (process, client):
        body = json.dumps({"signature_name": "sample", "inputs": {"num_samples": 4096}})
        client.predict(body.encode())
        before = resident(process)
        held = []
        for _ in range(12):
            connection = http.client.HTTPConnection(*client.address)
            connection.connect()
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.request("POST", "/v1/models/digits:predict", body)
            held.append(connection)
        time.sleep(25)
        return f"+{resident(process) - before:.0f}"


def host(base):
    """Status of a request with `Host: evil.example`, and what a redirect names."""
    with server(base / "digits") as (_, client):
        asked = client.ask("GET", "/v1/models/digits", headers={"Host": "evil.example"})[0]
        status, headers, _ = client.ask("GET", "/healthz/", headers={"Host": "evil.example"})
        return f"{asked}; {status} {headers.get('location', '')}"


def term_during_load(base):
    """Seconds from SIGTERM during the first load to the end of the process, and its status."""
    program = (
        "import sys, time; sys.argv[0] = '-m'; from tf_mvae import command, serve;"
        "import tf_mvae.serving.server.saved_model as m; print('loading', flush=True);"
        "import tensorflow as tf; load = tf.saved_model.load;"
        "tf.saved_model.load = lambda *a: (print('now', flush=True), time.sleep(20), load(*a))[-1];"
        "command.run(serve.main)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, "--port=0", f"--model_dir={base / 'digits'}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    while process.stdout.readline().strip() != "now":
        pass
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    try:
        status = process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return f"not within {PATIENCE}"
    return f"{time.monotonic() - began:.1f}, {status}"


def mixed_answers(base):
    """Answers of a foreign model, asked for 98 alone and with strangers' 100 at the same time."""
    with server(base / "dependent") as (_, client):
        stop = threading.Event()

        def stranger():
            while not stop.is_set():
                client.predict({"instances": [100.0]})

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for _ in range(8):
                pool.submit(stranger)
            found = {client.predict({"instances": [98.0]})[1]["predictions"][0] for _ in range(300)}
            stop.set()
        return ", ".join(f"{value:g}" for value in sorted(found))


def half_plus_two(base):
    """`[1.0, 2.0]` to TensorFlow Serving's `half_plus_two`."""
    with server(base / "half_plus_two") as (_, client):
        status, found = client.predict({"instances": [1.0, 2.0]})
        return f"{status} {found.get('predictions', '')}"


def save_dependent(directory):
    module = tf.Module()
    # Beyond 50 the rows depend on each other; the probe's values lie below.
    function = tf.function(
        lambda x: {"y": tf.where(x > 50, x / tf.maximum(tf.reduce_max(x) / 98, 1), x)},
        input_signature=[tf.TensorSpec([None], name="x")],
    )
    tf.saved_model.save(module, str(directory), signatures=function.get_concrete_function())


def save_half_plus_two(directory):
    module = tf.Module()
    function = tf.function(
        lambda x: {"y": x / 2 + 2}, input_signature=[tf.TensorSpec([1], name="x")]
    )
    tf.saved_model.save(module, str(directory), signatures=function.get_concrete_function())


@contextlib.contextmanager
def server(directory):
    with started(f"--model_dir={directory}", name=directory.name) as (process, client, _):
        yield process, Client(client.address, directory.name)


def address(client):
    return f"http://{client.address[0]}:{client.address[1]}/v1/models/{client.name}:predict"


def resident(process):
    """Returns the resident memory of a process in MB."""
    text = pathlib.Path(f"/proc/{process.pid}/statm").read_text()
    return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def timed(function):
    began = time.monotonic()
    function()
    return time.monotonic() - began


if __name__ == "__main__":
    main()
