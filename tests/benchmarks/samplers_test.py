"""The comparison of samplers keeps what is known so far."""

import json
import sys
import types

import pytest


def test_the_row_of_q_is_kept_before_a_sampler_is_fitted(scripts, monkeypatch, tmp_path):
    import samplers

    class Interrupted(Exception):
        pass

    def fit(*_):
        raise Interrupted

    run = types.SimpleNamespace(model=types.SimpleNamespace(weights=[]))
    monkeypatch.setattr(samplers, "load_run", lambda *_, **__: run)
    monkeypatch.setattr(samplers, "draw", lambda run: {"eager_ms": 1.5})
    monkeypatch.setattr(samplers, "fit", fit)
    output = tmp_path / "samplers.json"
    arguments = ["--run_dir=some/run", "--analysis=none", f"--output={output}"]
    monkeypatch.setattr(sys, "argv", ["samplers", *arguments])
    with pytest.raises(Interrupted):
        samplers.main()
    assert json.loads(output.read_text())["q"]["draw"] == {"eager_ms": 1.5}
