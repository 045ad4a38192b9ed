"""The settings that both sides of the benchmark `field.py` share, and its table."""

import importlib
import types

import numpy as np
import pytest

from tf_mvae.data.poly_mnist import NAMES
from tf_mvae.training.build import build_model

MODULES = ("field_setups", "field_tables", "network_arrays")


@pytest.fixture
def scripts_by_name(scripts, monkeypatch):
    """The modules of the benchmark by name, MultiVae's side as `peer`."""
    found = {name: importlib.import_module(name) for name in MODULES}
    folder = found["field_tables"].__file__.rsplit("/", 1)[0]
    monkeypatch.syspath_prepend(f"{folder}/peers")
    return types.SimpleNamespace(**found, peer=importlib.import_module("multivae_field"))


def budget(scripts):
    return scripts.field_setups.Budget(3, 5, 1e-3, 4, 2, 20, 10, 0.0, 2, 50)


def test_both_sides_give_the_same_subsets_in_the_same_order(scripts_by_name):
    found = scripts_by_name.field_setups.subsets()
    assert found == scripts_by_name.peer.subsets(list(NAMES))
    assert len(set(found)) == 30 and len(found[0]) == 1 and len(found[-1]) == 4


def test_a_run_is_written_whole(scripts_by_name, tmp_path):
    setups, arrays = scripts_by_name.field_setups, scripts_by_name.network_arrays
    setups.write_run(tmp_path, "mmvae_plus", budget(scripts_by_name), train=7, seed=1)
    order = np.load(tmp_path / "order.npy")
    assert order.shape == (3, 5)
    assert sorted(order.ravel()[:7]) == list(range(7))  # a pass over the examples
    model = setups.load(tmp_path)
    written = np.load(tmp_path / "weights.npz", allow_pickle=False)
    for name, value in arrays.weights_of(model).items():
        np.testing.assert_array_equal(written[name], value)
    shapes = [written[f"m3/{part}"].shape for part in ("encoder/7/kernel", "decoder/0/kernel")]
    assert shapes == [(16, 8), (4, 16)]  # means and log-variances of 2 + 2; a latent of 2 + 2


def test_a_joint_encoder_is_described_with_its_weights(scripts_by_name):
    setups, arrays = scripts_by_name.field_setups, scripts_by_name.network_arrays
    config = setups.config_of(setups.KINDS["jmvae"], budget(scripts_by_name), 0)
    model = build_model(config, 1)
    described, weights = arrays.describe_joint(model), arrays.weights_of(model)
    assert list(described["trunks"]) == list(NAMES)
    assert [kind["kind"] for kind in described["rest"]] == ["dense", "dense"]
    first = sum(weights[f"joint/{name}/5/kernel"].shape[1] for name in NAMES)
    assert weights["joint/rest/0/kernel"].shape[0] == first


def row(side, seed, shift=0.0):
    numbers = {str(n): [n / 5 + shift, 0.01] for n in range(1, 5)}
    return {
        **{"model": "mvae", "side": side, "seed": seed, "budget": {"steps": 3}},
        **{"backgrounds": "ab", "coherence": numbers, "joint": [0.1, 0.01]},
        **{"frechet": {"4": [20.0 + seed, 1.0]}, "coverage": {"4": [0.5, 0.01]}},
        **{"load_before": 2.0, "training_seconds": 5.0, "sampler_seconds": 1.5},
        **{"steps_per_second": 4.0, "peak_bytes": 2**30, "judges": {"m0": 0.9, "m1": 1.0}},
    }


def test_a_table_has_means_the_worst_seed_and_the_difference(scripts_by_name, tmp_path):
    field_tables = scripts_by_name.field_tables
    path, record = tmp_path / "field.json", field_tables.read(tmp_path / "field.json")
    rows = [row("ours", 0), row("ours", 1, 0.1), row("MultiVae", 0, -0.2), row("ours", 1, 0.2)]
    for one in rows:
        field_tables.add(record, one)
    assert len(record["runs"]) == 3  # the last replaces one
    field_tables.add(record, {**row("MultiVae", 1), "model": "jmvae", "error": "Failed: no"})
    assert field_tables.has(record, row("ours", 1)) and not field_tables.has(record, row("ours", 2))
    assert not field_tables.has(record, {**row("MultiVae", 1), "model": "jmvae"})  # it failed
    field_tables.write(path, record)
    assert field_tables.read(path) == record
    text = path.with_suffix(".md").read_text()
    assert "| mvae | ours | 2 | 0.300 (0.200) |" in text
    assert "| 20.5 (21.0) |" in text and "1024 (1024) |" in text
    assert "| mvae | MultiVae | 1 | 0.000 |" in text
    assert "| mvae | +0.300 ± 0.012 | +0.300 ± 0.012 |" in text
    assert "| 250.0 | 250.0 | 1.00 |" in text and "right on 95.0% of real" in text
    assert "| real images | | | 0.950 | 0.950 | 0.950 | 0.950 | 0.900 |" in text
    assert "load before a run was 2.0 to 2.0" in text and "| 4.00 (4.00) | 6 (6) |" in text
    assert "| jmvae | MultiVae | 1 | Failed: no |" in text
    assert "seed 1: Failed: no" in field_tables.line(record["runs"][-1])


def test_runs_whose_judges_learned_from_other_numbers_of_examples_are_not_mixed(
    scripts_by_name, tmp_path
):
    field_tables, old = scripts_by_name.field_tables, row("ours", 0)
    new = {**row("ours", 0), "budget": {"steps": 3, "judge_examples": 50}}
    record = {"runs": [old]}
    assert not field_tables.has(record, new)
    field_tables.add(record, new)
    field_tables.add(record, {**row("MultiVae", 0), "budget": new["budget"]})
    field_tables.write(tmp_path / "field.json", record)
    first, second = (tmp_path / "field.md").read_text().split("\n\nBudget: ")
    assert first.startswith("Budget: steps 3, judge_examples not recorded;")
    assert "±" not in first
    assert second.startswith("steps 3, judge_examples 50;")
    assert "With one seed, the ± of a difference is the error of the test examples alone" in second
    assert "judge_examples" in scripts_by_name.field_setups.Budget._fields
