"""The benchmark of a GPU writes what it knows, and stays in its time."""

import sys
import types

import pytest


@pytest.fixture
def options(tmp_path):
    return types.SimpleNamespace(
        **{"seconds": 60.0, "limit": 30.0, "seconds_a_part": 0.0, "tiny": True},
        **{"setups": ["mnist"], "precisions": ["float32"], "parts": ["step", "op"]},
        **{"peer_python": "python", "peer_device": "cpu", "output": tmp_path / "gpu.json"},
    )


def test_the_table_is_written_after_each_part(scripts, monkeypatch, options):
    import gpu

    table, seen = options.output.with_suffix(".md"), []

    def run_ours(*_):
        yield {"part": "step", "seconds": 0.25, "first_seconds": 1.0, "examples": 2}
        seen.append(table.read_text())
        yield {"part": "op", "op_seconds": 0.5}

    monkeypatch.setattr(gpu, "run_ours", run_ours)
    monkeypatch.setattr(gpu, "run_peer", lambda *_: iter(()))
    monkeypatch.setattr(gpu, "machine", lambda _: {"GPU": "none"})
    assert gpu.drive(options) == 0
    assert "| mnist | float32 | step | 250.00 |" in seen[0] and "product, op" not in seen[0]
    assert "Not reached in the time: mnist in float32: op, mnist in float32: MultiVae" in seen[0]
    text = table.read_text()
    assert "| mnist | float32 | product, op | 500.00 |" in text
    assert text.rstrip().endswith(f"in float32: {', mnist in float32: '.join(gpu.PEERS)}.")


def test_all_answers_of_a_contestant_together_have_its_limit(scripts, monkeypatch, options):
    import gpu

    now, limits, failed = [0.0], [], gpu.contestants.Failed

    class Contestant:
        def __init__(self, command, limit):
            self.limit = limit
            self.take(10)

        def take(self, seconds):
            limits.append(self.limit)
            if seconds > self.limit:
                raise failed("too slow")
            now[0] += seconds

        def ask(self, do, **arguments):
            self.take(12)
            return {"seconds": 12}

        def stop(self):
            pass

    config = types.SimpleNamespace(replace=lambda **_: types.SimpleNamespace(batch_size=2))
    setups = {"mnist": types.SimpleNamespace(config=config)}
    fake = types.SimpleNamespace(SETUPS=setups, write=lambda *_: None)
    monkeypatch.setitem(sys.modules, "step_setups", fake)
    monkeypatch.setattr(gpu.contestants, "Contestant", Contestant)
    monkeypatch.setattr(gpu.time, "monotonic", lambda: now[0])
    rows = list(gpu.run_peer("mnist", "float32", options, gpu.Clock(40)))
    assert limits == [30, 20, 8, 18, 8]  # the second contestant has the 18 s that are left
    assert [row["failed"] for row in rows] == ["too slow", "too slow"]
