"""Runs whose input was measured earlier stay in the table."""

import importlib
import json
import sys


def test_runs_that_are_not_measured_now_stay(scripts, monkeypatch, tmp_path):
    module, path = importlib.import_module("input"), tmp_path / "input.json"
    monkeypatch.setattr(module, "RESULTS", path)
    rates = {"step": [1.0, 2.0, 4.0], "from memory": [8.0, 8.0, 8.0], "read anew": [2.0, 1.0, 4.0]}
    monkeypatch.setattr(
        module, "spawn", lambda first, *_: 7_000_000 if first.startswith("--memory") else rates
    )
    monkeypatch.setattr(module.contestants, "machine", lambda: {"processor": "P", "cores": 2})
    monkeypatch.setattr(sys, "argv", ["input", "--run=--experiment=mnist --data_dir=/home/me"])
    assert module.main() == 0
    monkeypatch.setattr(module.contestants, "machine", lambda: {"processor": "Q", "cores": 4})
    monkeypatch.setattr(sys, "argv", ["input"])
    rates["from memory"] = [2.0, 2.0, 2.0]
    assert module.main() == 1
    assert list(json.loads(path.read_text())["setups"]) == [
        "--experiment=mnist",
        "--experiment=digits",
    ]
    text = path.with_suffix(".md").read_text()
    assert "| `--experiment=mnist` | 2 | 8 (4.0 times) | 2 (1.0 times) |" in text
    assert "| `--experiment=digits` | 2 | 2 (1.0 times) | 2 (1.0 times) |" in text
    assert "`--experiment=mnist`: P, 2 cores" in text
    assert "`--experiment=digits`: Q, 4 cores" in text
    assert "| 10,000 | 123 MB | 7 MB |" in text
