"""Calibration of imputations that are exact, too wide, or wrong."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats

from tf_mvae.data import from_frame
from tf_mvae.evaluation.imputation import without_modality
from tf_mvae.evaluation.imputation_calibration import (
    PROBABILITIES,
    central_fraction,
    class_calibration,
    coverage_curve,
    coverages,
    transform_histogram,
)
from tf_mvae.visualization import write_calibration

pd = pytest.importorskip("pandas")

ROWS = 4000


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "normal": rng.normal(size=ROWS),
            "count": rng.poisson(3, ROWS),
            "kind": rng.choice(["a", "b", "c"], ROWS, p=[0.6, 0.3, 0.1]),
        }
    )
    types = {"count": "count"}
    groups = {"numbers": ["normal", "count"], "classes": ["kind"]}
    return from_frame(frame, modalities=groups, types=types, verbose=False)


def imputed(table, spread=1.0):
    """Quantiles of the distributions that the numbers come from, or of a wider one."""
    exact = {"normal": scipy.stats.norm(scale=spread), "count": scipy.stats.poisson(3)}
    frames = {
        p: pd.DataFrame({k: np.full(ROWS, d.ppf(p)) for k, d in exact.items()})
        for p in PROBABILITIES
    }
    return SimpleNamespace(quantiles=frames)


def everything(table, columns):
    taken = table.frame.notna() & False
    taken[columns] = True
    return taken


def test_exact_quantiles_cover_as_they_should_and_are_uniform(table):
    taken = everything(table, ["normal"])
    found = coverages("model", table, taken, imputed(table))
    for level in (50, 80, 90):
        entry = found[f"numbers inside the {level}% interval, model"]
        assert abs(entry["value"] - level / 100) < 0.03 and entry["examples"] == ROWS
    (curve,) = coverage_curve("model", table, taken, imputed(table)).values()
    assert curve["value"] < 0.02 and curve["levels"][9] == 0.5 and len(curve["coverage"]) == 19
    (wide,) = coverage_curve("model", table, taken, imputed(table, 3.0)).values()
    assert wide["value"] > 0.2


@pytest.mark.parametrize("columns", [["normal"], ["count"]])
def test_the_transform_is_uniform_of_counts_too(table, columns):
    taken = everything(table, columns)
    (entry,) = transform_histogram("model", table, taken, imputed(table), 0).values()
    assert entry["value"] < 0.08 and sum(entry["histogram"]) == pytest.approx(1)
    (wide,) = transform_histogram("model", table, taken, imputed(table, 3.0), 0).values()
    assert (wide["value"] > 0.3) == (columns == ["normal"])


def test_closed_intervals_of_counts_contain_more_than_their_level_and_the_pit_does_not(table):
    taken = everything(table, ["count"])
    inside = coverages("model", table, taken, imputed(table))
    assert inside["numbers inside the 50% interval, model"]["value"] > 0.6
    (entry,) = transform_histogram("model", table, taken, imputed(table), 0).values()
    for level in (0.5, 0.8, 0.9):
        assert abs(central_fraction(entry["histogram"], level) - level) < 0.03


def test_the_calibration_error_is_the_overconfidence(table):
    taken = everything(table, ["kind"])
    rights = {"a": 0.6, "b": 0.3, "c": 0.1}
    right = pd.DataFrame({name: np.full(ROWS, p) for name, p in rights.items()})
    (entry,) = class_calibration(table, taken, {"kind": right}).values()
    assert entry["value"] < 0.03 and entry["confidence"] == pytest.approx([0.6])
    sure = pd.DataFrame({"a": np.ones(ROWS), "b": np.zeros(ROWS), "c": np.zeros(ROWS)})
    (entry,) = class_calibration(table, taken, {"kind": sure}).values()
    assert entry["value"] == pytest.approx(0.4, abs=0.03) and entry["number"] == [ROWS]
    assert class_calibration(table, everything(table, []), {"kind": sure}) == {}


def test_a_modality_is_held_out_where_another_one_is_left(table):
    frame = table.frame.copy().astype({"count": float})
    frame.loc[0, "kind"] = None
    frame.loc[1, ["normal", "count"]] = None
    holes, taken = without_modality(type(table)(frame, table.schema), "numbers")
    assert not taken["kind"].any() and not taken.loc[[0, 1]].any(axis=None)
    assert taken.loc[2:, ["normal", "count"]].all(axis=None)
    assert holes.frame.loc[0, "normal"] == frame.loc[0, "normal"]
    assert holes.frame.loc[2:, "normal"].isna().all()


def test_the_plot_has_what_there_is(table, tmp_path):
    taken = everything(table, ["normal"])
    results = coverage_curve("model", table, taken, imputed(table))
    results |= transform_histogram("model", table, taken, imputed(table), 0)
    path = write_calibration(results, tmp_path / "pictures/imputation.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert write_calibration({}, tmp_path / "none.png") is None
