"""Calibration of imputations that are exact, too wide, or wrong."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats

from tf_mvae.data import from_frame
from tf_mvae.evaluation.imputation import without_modality
from tf_mvae.evaluation.imputation_calibration import (
    central_fraction,
    class_calibration,
    coverage_curve,
    coverages,
    of_calibrated,
    transform_histogram,
)
from tf_mvae.evaluation.imputation_cells import HeldOut
from tf_mvae.evaluation.imputation_ranks import PROBABILITIES, Ranks
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
    return HeldOut.of(table, taken)


def ranks(table, columns, spread=1.0):
    return Ranks.of(everything(table, columns), imputed(table, spread))


def one(results, start):
    """Returns the only result whose name starts so and is not of a calibrated model."""
    (found,) = (
        entry
        for key, entry in results.items()
        if key.startswith(start) and "calibrated model" not in key
    )
    return found


def drawn(rows, columns, repeats, rng, row=0.0):
    """Returns ranks of a calibrated model; `row` is the variance that cells of a row share."""
    shape = [rows, columns]
    value = np.sqrt(row) * rng.normal(size=[rows, 1]) + np.sqrt(1 - row) * rng.normal(size=shape)
    place = np.tile((scipy.stats.norm.cdf(value) * 80).astype(int).ravel(), repeats)
    cells = np.tile(np.arange(rows * columns), repeats)
    none = np.zeros([0], int), np.zeros([2, 79, 0], np.int8)
    return Ranks(place, place, cells // columns, cells, *none)


def test_exact_quantiles_cover_as_they_should_and_are_uniform(table):
    found = coverages("model", ranks(table, ["normal"]))
    for level in (50, 80, 90):
        entry = found[f"numbers inside the {level}% interval, model"]
        assert abs(entry["value"] - level / 100) < 0.03 and entry["examples"] == ROWS
    curve = one(coverage_curve("model", ranks(table, ["normal"]), 0), "coverage")
    assert curve["value"] < 0.02 and curve["levels"][9] == 0.5 and len(curve["coverage"]) == 19
    wide = one(coverage_curve("model", ranks(table, ["normal"], 3.0), 0), "coverage")
    assert wide["value"] > 0.2


@pytest.mark.parametrize("columns", [["normal"], ["count"]])
def test_the_transform_is_uniform_of_counts_too(table, columns):
    entry = one(transform_histogram("model", ranks(table, columns), 0), "distance")
    assert entry["value"] < 0.08 and sum(entry["histogram"]) == pytest.approx(1)
    wide = one(transform_histogram("model", ranks(table, columns, 3.0), 0), "distance")
    assert (wide["value"] > 0.3) == (columns == ["normal"])


def test_the_transform_is_uniform_if_quantiles_are_samples():
    """Of numbers that are 0 in nine of ten cases, as the 79 samples are."""
    rng = np.random.default_rng(0)
    values = rng.uniform(size=[80, 20_000]) < 0.1
    below, reached = (values[1:] < values[0]).sum(0), (values[1:] <= values[0]).sum(0)
    places = np.arange(20_000)
    found = Ranks(below, reached, places, places, places[:0], np.zeros([2, 79, 0], np.int8))
    assert scipy.stats.kstest(found.transform(rng), "uniform").pvalue > 0.01


def test_closed_intervals_of_counts_contain_more_than_their_level_and_the_pit_does_not(table):
    own = ranks(table, ["count"])
    inside = coverages("model", own)
    assert inside["numbers inside the 50% interval, model"]["value"] > 0.6
    found = transform_histogram("model", own, 0)
    for level in (0.5, 0.8, 0.9):
        central = found[f"PIT in the central {level:.0%}, model"]
        assert abs(central["value"] - level) < 0.03 and central["rows"] == ROWS
        histogram = one(found, "distance")["histogram"]
        assert central_fraction(histogram, level) == pytest.approx(central["value"])


@pytest.mark.parametrize("result", ["numbers inside the 80% interval", "PIT in the central 80%"])
def test_standard_errors_are_over_rows(result):
    """Against the spread between many tables of 40 rows, which are held out five times."""
    rng = np.random.default_rng(0)
    tables = [drawn(40, 6, 5, rng, row=0.7) for _ in range(200)]
    found = [(coverages("m", t) | _central(t))[f"{result}, m"] for t in tables]
    spread = np.std([entry["value"] for entry in found])
    reported = np.mean([entry["standard_error"] for entry in found])
    assert reported == pytest.approx(spread, rel=0.15)
    assert found[0]["examples"] == 1200 and found[0]["rows"] == 40
    assert np.sqrt(0.8 * 0.2 / 1200) < spread / 2  # of independent cells


def _central(own):
    return {key: e for key, e in transform_histogram("m", own, 0).items() if "central" in key}


@pytest.mark.parametrize("repeats", [1, 4])
def test_a_perfectly_calibrated_model_scores_what_is_expected_of_it(repeats):
    """Repeats of the same cells say nothing new."""
    number = 500
    own = drawn(number // 5, 5, repeats, np.random.default_rng(0))

    def deviation(p):
        """Returns the mean absolute error of a fraction of 500 cells."""
        return scipy.stats.binom(number, p).expect(lambda n: abs(n / number - p))

    found = transform_histogram("m", own, 0)
    key = "distance of the PIT from uniform, m"
    assert found[of_calibrated(key)]["value"] == pytest.approx(10 * deviation(1 / 20), rel=0.04)
    assert found[of_calibrated(key)]["value"] == pytest.approx(0.078, abs=0.003)
    assert found[of_calibrated(key)]["examples"] == found[key]["examples"] == number * repeats
    expected = np.mean([deviation(level) for level in np.arange(1, 20) / 20])
    curve = coverage_curve("m", own, 0)[of_calibrated("coverage error, m")]
    # The levels' coverages agree, so that the mean of 100 draws has an error of 7 %.
    assert curve["value"] == pytest.approx(expected, rel=0.2)


def test_a_perfectly_calibrated_model_of_counts_covers_more_than_the_level(table):
    """Its coverage error is that of the exact quantiles of counts, which are calibrated."""
    found = coverage_curve("m", ranks(table, ["count"]), 0)
    exact = scipy.stats.poisson(3)
    levels = np.arange(1, 20) / 20
    ends = [exact.ppf((1 + side * levels) / 2) for side in (-1, 1)]
    excess = exact.cdf(ends[1]) - exact.cdf(ends[0] - 1) - levels
    assert found[of_calibrated("coverage error, m")]["value"] == pytest.approx(
        excess.mean(), abs=0.015
    )
    assert found["coverage error, m"]["value"] == pytest.approx(excess.mean(), abs=0.02)
    pit = transform_histogram("m", ranks(table, ["count"]), 0)
    assert pit[of_calibrated("distance of the PIT from uniform, m")]["value"] < 0.06


def test_the_calibration_error_is_the_overconfidence(table):
    held = everything(table, ["kind"])
    rights = {"a": 0.6, "b": 0.3, "c": 0.1}
    right = pd.DataFrame({name: np.full(ROWS, p) for name, p in rights.items()})
    entry = one(class_calibration(held, {"kind": right}, 0), "calibration")
    assert entry["value"] < 0.03 and entry["confidence"] == pytest.approx([0.6])
    sure = pd.DataFrame({"a": np.ones(ROWS), "b": np.zeros(ROWS), "c": np.zeros(ROWS)})
    entry = one(class_calibration(held, {"kind": sure}, 0), "calibration")
    assert entry["value"] == pytest.approx(0.4, abs=0.03) and entry["number"] == [ROWS]
    assert class_calibration(everything(table, []), {"kind": sure}, 0) == {}


@pytest.mark.parametrize("repeats", [1, 3])
def test_a_perfectly_calibrated_model_of_classes_has_an_error(table, repeats):
    """Against many draws of 500 classes with probabilities between 0.4 and 1."""
    rng = np.random.default_rng(0)
    first = rng.uniform(0.4, 1, size=500)
    chances = np.stack([first, 0.7 * (1 - first), 0.3 * (1 - first)], axis=1)
    frame = table.frame.iloc[np.tile(np.arange(500), repeats)]
    part = type(table)(frame, table.schema)
    taken = frame.notna() & False
    taken["kind"] = True
    names = pd.DataFrame(np.tile(chances, [repeats, 1]), columns=["a", "b", "c"])
    found = class_calibration(HeldOut.of(part, taken, repeats), {"kind": names}, 0)
    wanted = []
    for _ in range(400):
        right = rng.uniform(size=500) < first
        edges = np.arange(0.4, 1, 0.1)
        own = [(first >= edge) & (first < edge + 0.1) for edge in edges]
        wanted.append(sum(o.mean() * abs(right[o].mean() - first[o].mean()) for o in own))
    key = of_calibrated("calibration error of classes, model")
    assert found[key]["value"] == pytest.approx(np.mean(wanted), rel=0.08)


def test_rows_of_repeats_are_those_of_the_table(table):
    """Numbers of the third to the fifth row are held out, of the fourth in both repeats."""
    frame = table.frame.iloc[np.tile(np.arange(10), 2)]
    taken = frame.notna() & False
    for row, column in ((2, "normal"), (3, "normal"), (13, "normal"), (14, "count"), (4, "kind")):
        taken.iloc[row, list(frame).index(column)] = True
    held = HeldOut.of(type(table)(frame, table.schema), taken, 2)
    own = Ranks.of(held, imputed(table))
    assert own.rows.tolist() == [2, 3, 3, 4] and own.counts.tolist() == [3]
    assert own.cells[1] == own.cells[2] and len(set(own.cells.tolist())) == 3
    exact = scipy.stats.norm.cdf(frame["normal"].to_numpy()[[2, 3, 3]]) * 80
    assert own.below[:3].tolist() == own.reached[:3].tolist() == exact.astype(int).tolist()
    counts = scipy.stats.poisson.ppf(PROBABILITIES, 3)
    below, reached = own.ties[:, :, 0]
    assert below.tolist() == [(counts < count).sum() for count in counts]
    assert reached.tolist() == [(counts <= count).sum() for count in counts]


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
    own = ranks(table, ["normal"])
    results = coverage_curve("model", own, 0) | transform_histogram("model", own, 0)
    path = write_calibration(results, tmp_path / "pictures/imputation.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert write_calibration({}, tmp_path / "none.png") is None
