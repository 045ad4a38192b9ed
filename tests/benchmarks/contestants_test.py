"""Shared code of benchmarks: answering processes, weights for other programs, fractions of time."""

import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"
ANSWERING = f"""
import sys, time
sys.path.insert(0, {str(BENCHMARKS / "peers")!r})
import step_protocol

def fail():
    raise ValueError("no such thing\\nand more")

def double(number):
    print("a library's noise")
    return 2 * number

step_protocol.serve(lambda: {{
    "double": double, "fail": fail, "sleep": lambda: time.sleep(60),
    "end": lambda: sys.exit("gone"), "memory": step_protocol.peak_memory}})
"""


def test_a_contestant_answers_and_says_what_is_wrong(scripts):
    from contestants import Contestant, Failed

    contestant = Contestant([sys.executable, "-c", ANSWERING])
    try:
        assert contestant.ask("double", number=4) == 8
        with pytest.raises(Failed, match="^ValueError: no such thing$"):
            contestant.ask("fail")
        assert contestant.ask("double", number=5) == 10
        assert 1e6 < contestant.ask("memory") < 1e9
        with pytest.raises(Failed, match="the process ended: gone"):
            contestant.ask("end")
    finally:
        contestant.stop()


def test_a_contestant_that_takes_too_long_or_never_starts_has_failed(scripts):
    from contestants import Contestant, Failed

    contestant = Contestant([sys.executable, "-c", ANSWERING], 5)
    contestant.limit = 0.2
    try:
        with pytest.raises(Failed, match="no answer within 0 s"):
            contestant.ask("sleep")
    finally:
        contestant.stop()
    with pytest.raises(Failed, match="the process ended"):
        Contestant([sys.executable, "-c", "raise SystemExit('never')"])


@pytest.mark.parametrize(
    ("program", "limit", "reason"),
    [
        ("import time; time.sleep(60)", 0.2, "no answer within 0 s"),
        (
            'import time; print(\'{"error": "no model"}\', flush=True); time.sleep(60)',
            60,
            "no model",
        ),
    ],
)
def test_a_contestant_that_does_not_start_is_stopped(scripts, monkeypatch, program, limit, reason):
    import contestants

    started, start = [], subprocess.Popen

    def popen(*arguments, **options):
        started.append(start(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(contestants.subprocess, "Popen", popen)
    with pytest.raises(contestants.Failed, match=reason):
        contestants.Contestant([sys.executable, "-c", program], limit)
    assert started[0].returncode == -signal.SIGKILL


def test_weights_for_other_programs_come_back(scripts):
    import network_arrays
    import step_setups

    from tf_mvae.training.build import build_model

    config = step_setups.SETUPS["mnist"].config
    model, other = build_model(config, 1), build_model(config, 1)
    step_setups.perturb(model, np.random.default_rng(0))
    arrays = network_arrays.weights_of(model)
    assert arrays["image/encoder/1/kernel"].shape == (784, 512)
    network_arrays.load_weights(other, arrays)
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    with pytest.raises(ValueError, match="image"):
        network_arrays.load_weights(other, {**arrays, "image/encoder/1/bias": np.zeros(3)})


def test_members_of_a_group_have_their_own_weights(scripts):
    import network_arrays
    import step_setups

    from tf_mvae.training.build import build_model

    config = step_setups.SETUPS["celeba19"].config
    model = build_model(config, 1)
    group = model.modalities[1]
    described = network_arrays.describe(model)
    assert [m["name"] for m in described] == ["image", *group.members]
    assert described[3]["source"] == "attributes" and described[3]["column"] == 2
    assert [layer["kind"] for layer in described[3]["encoder"]] == [
        "embedding", "dense", "flatten", "dense",
    ]  # fmt: skip
    arrays = network_arrays.weights_of(model)
    np.testing.assert_array_equal(
        arrays[f"{group.members[2]}/decoder/0/kernel"], group.decoder.layers[0].kernel[2]
    )


@pytest.mark.parametrize(
    ("wanted", "share"), [(-5.0, 0.25), (-3.0, 0.375), (-2.0, 0.5), (-1.0, 0.75), (0.5, None)]
)
def test_share_of_time(scripts, wanted, share):
    from quality_for_time import share_of_time

    ours = [(2.0, -4.0), (4.0, -2.0), (5.0, -3.0), (6.0, -1.0)]
    assert share_of_time(ours, 8.0, wanted) == share


def test_quality_for_time_says_what_was_found(scripts):
    from quality_for_time import described

    record = {
        "points": {"ours": [[2.0, -9.0], [4.0, -7.5]], "MultiVae": [[5.0, -9.5], [10.0, -8.0]]},
        "shares_of_time": [None, 0.35],
        "experiment": "digits",
        "epochs": 2,
        "annealing_epochs": 1,
        "steps_per_epoch": 1234,
        "batch_size": 20,
        "versions": {"tensorflow": "2.21.0"},
        "processor": "abacus",
        "cores": 2,
        "load_before": 0.25,
    }
    text = described(record)
    assert "MultiVae is at -8.00 nats after 10 s; we reach that after 35% of that time." in text
    assert "| 1 | 2.0 | -9.0 | 5.0 | -9.5 | - |\n| 2 | 4.0 | -7.5 | 10.0 | -8.0 | 35% of" in text
    assert text.endswith("abacus, 2 cores, load before 0.2; tensorflow 2.21.0.")
