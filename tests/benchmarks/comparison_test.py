"""The comparison with MultiVae, of records that do not have everything."""

import importlib
import json
import pathlib

import pytest


@pytest.fixture
def comparison(monkeypatch):
    monkeypatch.syspath_prepend(pathlib.Path(__file__).parents[2] / "results")
    return importlib.import_module("result_tables.comparison")


def step(title, processor, contestants):
    return {
        **{"title": title, "processor": processor, "cores": 2, "versions": {"tensorflow": "2"}},
        "contestants": {name: {"seconds": seconds} for name, seconds in contestants.items()},
    }


def records(**changed):
    ours = {"ours, fit, XLA": [1.0, 4, 2]}
    return {
        "training_step": {
            "setups": {
                "one": step("One", "P", {**ours, "MultiVae": [4.0, 4, 5], "MultiVae, x": [9.0]}),
                "wrong": step("Wrong", "P", {**ours, "MultiVae": []}),
                "early": step("Early", "P", {"MultiVae": [1.0]}),
            }
        },
        "quality_for_time": {
            "points": {"MultiVae": [[5.0, -9.0], [10.0, -8.0]]},
            **{"shares_of_time": [None, 0.5], "processor": "Q", "cores": 4, "versions": {}},
        },
        "likelihood": {
            "comparison": {
                "examples_per_second": {"ours": 60.0, "multivae": {"100": 20.0, "1000": 30.0}},
                **{"settings": {"num_samples": 1000}, "cores": 2},
            }
        },
    } | changed


@pytest.fixture
def table(comparison, tmp_path):
    def written(found):
        for name, record in found.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(record))
        return comparison.comparison_table(tmp_path)

    return written


def test_set_ups_without_times_have_no_row_and_ratios_are_by_round(table):
    text = table(records())
    assert "| step of training: One | 2000 ms | 4000 ms | 2.5 |" in text
    assert "Wrong" not in text and "Early" not in text
    assert "ELBO of -8.0 nats, MNIST | 5 s | 10 s | 2.0 |" in text
    assert "| 60 examples/s | 30 examples/s | 2.0 |" in text


def test_an_elbo_that_ours_never_has_is_named_so(table):
    found = records()
    found["quality_for_time"]["shares_of_time"][-1] = None
    assert "ELBO of -8.0 nats, MNIST | never | 10 s | - |" in table(found)


def test_only_processors_that_were_recorded_are_named(table):
    found = records()
    expected = (
        "One: P, 2 cores; training to an ELBO: Q, 4 cores; "
        "log p(image, label): processor not recorded, 2 cores; float32; tensorflow 2."
    )
    assert table(found).splitlines()[-1].endswith(f" {expected}")
    found["likelihood"]["comparison"]["processor"] = "P"
    assert "One / log p(image, label): P, 2 cores; training to" in table(found)
