"""Records of benchmarks: what earlier runs left stays, and tables are those of their records."""

import importlib
import json
import pathlib

import pytest

RESULTS = pathlib.Path(__file__).parents[2] / "benchmarks" / "results"


def described(setup):
    return f"on {setup['processor']}"


def titles(record):
    return ", ".join(setup["title"] for setup in record["setups"].values())


def test_set_ups_of_earlier_runs_stay_with_their_machine(scripts, tmp_path):
    import records

    path, order = tmp_path / "new" / "some.json", ["a", "b"]
    first = {"b": {"title": "B", "processor": "P"}, "c": {"title": "C", "processor": "P"}}
    records.keep(path, first, titles, order)
    second = {"a": {"title": "A", "processor": "Q"}, "c": {"title": "C2", "processor": "Q"}}
    assert records.keep(path, second, titles, order, more=3) == "A, B, C2"
    left = json.loads(path.read_text())
    assert left == {"setups": {"a": second["a"], "b": first["b"], "c": second["c"]}, "more": 3}
    assert path.with_suffix(".md").read_text() == "A, B, C2"


def test_a_machine_is_named_once_or_with_its_set_ups(scripts):
    import records

    setups = [{"title": name, "processor": "PPQ"[place]} for place, name in enumerate("abc")]
    assert records.by_machine(setups[:2], described) == "on P"
    assert records.by_machine(setups, described, "; ") == "a / b: on P; c: on Q"


@pytest.mark.parametrize(
    "name", ["training_step", "convolutions", "first_step", "step_profile", "input", "scaling"]
)
def test_tables_are_rendered_from_their_records(scripts, name):
    record = json.loads((RESULTS / f"{name}.json").read_text())
    text = importlib.import_module(name).report(record)
    text = text[0] if name == "scaling" else text
    assert text == (RESULTS / f"{name}.md").read_text()
