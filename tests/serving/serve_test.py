"""`python -m tf_mvae.serve` in a process."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading

import pytest

from tests import processes
from tests.serving.server_tools import ROOT, save_stranger, started
from tf_mvae.errors import UserError
from tf_mvae.serving.server.settings import Settings


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = tmp_path_factory.mktemp("served") / "stranger"
    save_stranger(base / "1")
    return base


def test_a_term_signal_ends_it_when_the_running_request_is_answered(folder):
    """The process imports neither training code, models nor distributions."""
    with started(f"--model_dir={folder}", "--access_log", witness=True) as (process, client, lines):
        assert client.address[0] == "127.0.0.1"
        assert client.predict({"instances": [[1, 2]]}) == (200, {"predictions": [[2, 4]]})
        body = {"signature_name": "count", "instances": [100_000]}
        found = []
        running = threading.Thread(target=lambda: found.append(client.predict(body)))
        running.start()
        while b"tf_mvae_running_requests 2.0" not in client.ask("GET", "/metrics")[2]:
            pass
        process.send_signal(signal.SIGTERM)
        running.join()
        assert found == [(200, {"predictions": [100_000]})]
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 0
        with pytest.raises(ConnectionRefusedError):
            client.ask("GET", "/healthz")
    lines += map(json.loads, errors.splitlines())
    assert [line["event"] for line in lines][:2] == ["loaded", "listening"]
    assert lines[-1]["event"] == "ended"
    served = [line for line in lines if line["event"] == "request" and line["method"] == "POST"]
    assert [(line["status"], line["path"]) for line in served] == [
        (200, "/v1/models/stranger:predict")
    ] * 2
    modules = output.split()
    assert "tensorflow" in modules and "tf_mvae.serving.server.run" in modules
    # TensorFlow itself brings Keras.
    assert not {"tensorflow_probability", "tf_keras", "tensorflow_datasets"} & set(modules)
    allowed = (
        "tf_mvae.checks",
        "tf_mvae.command",
        "tf_mvae.errors",
        "tf_mvae.extras",
        "tf_mvae.failures",
        "tf_mvae.names",
        "tf_mvae.serializable",
        "tf_mvae.serve",
        "tf_mvae.serving",
    )
    ours = [name for name in modules if name.startswith("tf_mvae.")]
    assert [name for name in ours if not name.startswith(allowed)] == []
    assert not {"tf_mvae.serving.export", "tf_mvae.serving.signatures"} & set(ours)


def test_a_token_that_is_no_text_is_refused(folder, tmp_path):
    (tmp_path / "token").write_bytes(b"\xff\xfe")
    flags = [f"--model_dir={folder}", f"--token_file={tmp_path}/token"]
    result = processes.run("-m", "tf_mvae.serve", *flags)
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), result.stderr
    assert "token is not text in UTF-8" in result.stderr


def test_a_token_guards_everything_but_the_probes_and_the_page(folder, tmp_path):
    (tmp_path / "token").write_text("s3cret\n")
    flags = [f"--model_dir={folder}", f"--token_file={tmp_path}/token"]
    with started(*flags) as (process, client, lines):
        right = {"Authorization": "Bearer s3cret"}
        body = {"instances": [[1, 2]]}
        assert client.predict(body, headers=right)[0] == 200
        for wrong in ({}, {"Authorization": "Bearer guess"}, {"Authorization": "s3cret"}):
            status, headers, found = client.ask(
                "POST", "/v1/models/stranger:predict", body, headers=wrong
            )
            assert status == 401 and headers["www-authenticate"].startswith("Bearer")
            assert "token" in found["error"] and "s3cret" not in found["error"]
        for path in ("/metrics", "/openapi.json", "/v1/models/stranger", "/v1/page", "/nothing"):
            assert client.ask("GET", path)[0] == 401, path
        for path in ("/", "/page/app.js", "/healthz", "/readyz"):
            assert client.ask("GET", path)[0] == 200, path
        process.terminate()
        _, errors = process.communicate(timeout=60)
    assert "s3cret" not in errors + json.dumps(lines)


def serve(*flags, **environment):
    return subprocess.run(
        [sys.executable, "-m", "tf_mvae.serve", *map(str, flags)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


def assert_one_line(result, *words):
    assert result.returncode == 2, result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), result.stderr
    for word in words:
        assert word in lines[0]


def test_without_the_extra_it_says_how_to_get_it(folder, tmp_path):
    """Starlette cannot be imported, as without the extra."""
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: "
        "None if name == 'starlette' else found(name, *rest)\n"
    )
    result = serve(f"--model_dir={folder}", PYTHONPATH=str(tmp_path))
    assert_one_line(result, "starlette", "pip install 'tf-mvae[serve]'")


def test_a_wrong_flag_is_one_line():
    assert_one_line(serve(), "--model_dir")
    assert_one_line(serve("--model_dir=x", "--port=http"), "--port", "http")
    twice = "--version_labels=stable:1,stable:2"
    assert_one_line(serve("--model_dir=x", twice), "stable to the versions 1 and 2; give it to one")
    beyond = f"--version_labels=stable:{2**63}"
    assert_one_line(serve("--model_dir=x", beyond), "label:version")
    assert_one_line(serve("--model_dir=x", TF_MVAE_SERVE_TOKEN=" "), "token is empty")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"max_batch_size": 0}, "--max_batch_size"),
        ({"poll_seconds": -1}, "--poll_seconds"),
        ({"read_seconds": float("nan")}, "--read_seconds"),
        ({"port": 70000}, "--port"),
        ({"model_name": "a/b"}, "--model_name"),
        ({"token": ""}, "token"),
    ],
)
def test_settings_that_serve_nothing_are_refused(settings, words, tmp_path):
    with pytest.raises(UserError, match=words):
        Settings(**{"model_dir": tmp_path, "model_name": "x", **settings})


def test_a_port_that_is_taken_is_one_line(folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = serve(f"--model_dir={folder}", f"--port={port}")
    assert result.returncode == 2
    assert f"error: cannot listen at 127.0.0.1:{port}" in result.stderr.splitlines()[-1]


def test_the_page_asks_for_nothing_from_elsewhere():
    folder = ROOT / "tf_mvae" / "serving" / "server" / "page"
    for path in folder.iterdir():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//\w+\.\w+/", text), path
