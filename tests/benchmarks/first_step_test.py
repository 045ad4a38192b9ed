"""The table of the first step's time."""

import json
import types


def test_both_ways_have_a_row_in_seconds_and_milliseconds(scripts):
    import first_step

    one = {"trace": 1.25, "first_call": 0.5, "step": 0.01}
    other = {"trace": 1.0, "first_call": 0.25, "step": 0.02}
    setup = {"title": "MNIST", "rounds": 3, "with": one, "without": other}
    text = first_step.report({"setups": {"mnist": setup}})
    assert "| MNIST | with | 1.2 | 0.5 | 10 |" in text
    assert "| MNIST | without | 1.0 | 0.2 | 20 |" in text
    assert text.strip().endswith("\nprocessor not recorded; medians of 3 rounds.")
    setup |= {"processor": "P", "cores": 2, "versions": {"tensorflow": "2", "keras": "3"}}
    text = first_step.report({"setups": {"mnist": setup}})
    assert text.strip().endswith("\nP, 2 cores; tensorflow 2, keras 3; medians of 3 rounds.")


def test_rounds_and_the_machine_are_recorded(scripts, monkeypatch):
    import first_step

    steps = iter([1.0, 9, 3, 7, 2, 8])  # with and without take turns

    def run(command, **_):
        found = {"trace": 0.0, "first_call": 0.0, "step": next(steps)}
        return types.SimpleNamespace(stdout=json.dumps(found))

    monkeypatch.setattr(first_step.subprocess, "run", run)
    monkeypatch.setattr(first_step.step_setups, "write", lambda *_: None)
    monkeypatch.setattr(first_step.contestants, "machine", lambda: {"processor": "P", "cores": 2})
    setup = first_step.compare("mnist", 3, 10)
    assert [one["step"] for one in setup["seconds"]["with"]] == [1, 3, 2]
    assert setup["with"]["step"] == 2 and setup["without"]["step"] == 8
    assert setup["rounds"] == 3 and "P, 2 cores; tensorflow" in first_step.report(
        {"setups": {"mnist": setup}}
    )
