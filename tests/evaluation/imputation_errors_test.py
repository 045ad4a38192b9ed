"""Errors of estimates: their values, and standard errors against the spread of many tables."""

from types import SimpleNamespace

import numpy as np
import pytest

from tf_mvae.data import from_frame
from tf_mvae.evaluation.imputation_cells import HeldOut
from tf_mvae.evaluation.imputation_errors import errors

pd = pytest.importorskip("pandas")

ROWS, REPEATS, TABLES = 60, 3, 150
SCALES = {"a": 0.1, "b": 1.0, "c": 2.0}  # very different errors
TRAIN = from_frame(
    pd.DataFrame(np.random.default_rng(1).normal(size=[500, 3]), columns=list(SCALES)),
    verbose=False,
)


def draw(rng):
    """Returns the errors of two methods whose mistakes agree, in a table that is repeated.

    A row has a factor of its own, and its repeats hold out cells of the same values.
    """
    shape = [ROWS, len(SCALES)]
    noise = rng.normal(size=shape) * rng.uniform(0.5, 1.5, size=[ROWS, 1]) * list(SCALES.values())
    other = noise + 0.2 * rng.normal(size=shape)
    truth, model, other = (
        pd.DataFrame(np.tile(values, [REPEATS, 1]), columns=list(SCALES))
        for values in (np.zeros(shape), noise, other)
    )
    taken = pd.DataFrame(rng.uniform(size=truth.shape) < 0.3, columns=list(SCALES))
    held = HeldOut.of(SimpleNamespace(frame=truth, schema=TRAIN.schema), taken, REPEATS)
    return held, {"model": model, "other": other}


@pytest.fixture(scope="module")
def many():
    rng = np.random.default_rng(0)
    return [errors(held, TRAIN, frames) for held, frames in (draw(rng) for _ in range(TABLES))]


@pytest.mark.parametrize("what", ["model", "other", "other less model"])
def test_standard_errors_are_the_spread_between_tables(many, what):
    """The spread between columns, 0.8, is many times larger."""
    found = [one[f"error of numbers, {what}"] for one in many]
    spread = np.std([one["value"] for one in found])
    reported = np.mean([one["standard_error"] for one in found])
    assert reported == pytest.approx(spread, rel=0.2) and spread < 0.3


def test_a_difference_is_paired(many):
    paired, model = (
        np.mean([one[f"error of numbers, {what}"]["standard_error"] for one in many])
        for what in ("other less model", "model")
    )
    assert paired < model / 3


def test_the_value_is_the_mean_of_columns(many):
    held, frames = draw(np.random.default_rng(0))
    wanted = []
    for name in SCALES:
        own = held.taken[name].to_numpy()
        spread = np.std(TRAIN.frame[name].to_numpy())
        wanted.append(np.sqrt((frames["other"][name].to_numpy()[own] ** 2).mean()) / spread)
    found = errors(held, TRAIN, frames)["error of numbers, other"]
    assert found["value"] == pytest.approx(np.mean(wanted)) and found["unit"] == "sd"
    rows = held.taken.to_numpy().reshape(REPEATS, ROWS, -1).any(axis=(0, 2)).sum()
    assert found["examples"] == held.taken.to_numpy().sum() and found["rows"] == rows


def classes(rows, wrong, columns=("kind",)):
    """Returns held-out classes `x` of a table of rows, and estimates that are `y` where wrong."""
    truth = pd.DataFrame({name: ["x", "y"] * (rows // 2) for name in columns})
    guess = truth.where(~wrong, truth.replace({"x": "y", "y": "x"}))
    table = from_frame(truth, verbose=False, types=dict.fromkeys(columns, "categorical"))
    return HeldOut.of(table, truth.notna()), table, guess, truth


def test_one_column_of_classes_has_the_error_of_a_fraction():
    wrong = np.arange(40)[:, np.newaxis] % 5 == 0
    held, train, guess, truth = classes(40, wrong)
    found = errors(held, train, {"model": guess, "best": truth})
    for what in ("model", "best less model"):
        one = found[f"wrong classes, {what}"]
        assert abs(one["value"]) == pytest.approx(0.2)
        assert one["standard_error"] == pytest.approx(np.sqrt(0.2 * 0.8 / 39))


def test_blocks_of_a_long_table_have_almost_the_error_of_its_rows():
    wrong = np.random.default_rng(0).uniform(size=[4000, 1]) < 0.3
    held, train, guess, _ = classes(4000, wrong)
    found = errors(held, train, {"model": guess})["wrong classes, model"]["standard_error"]
    assert found == pytest.approx(np.sqrt(0.3 * 0.7 / 4000), rel=0.15)


def test_estimates_that_are_not_numbers_are_seen():
    held, frames = draw(np.random.default_rng(0))
    frames["model"] = frames["model"] * np.nan
    assert np.isnan(errors(held, TRAIN, frames)["error of numbers, model"]["value"])


def test_a_column_of_times_has_the_error_of_its_concordance():
    """Against the spread of many tables of one column."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"days": np.arange(1.0, 41), "died": np.ones(40)})
    table = from_frame(rows, survival={"days": "died"}, verbose=False)
    found = []
    for _ in range(60):
        truth = rows.assign(days=rng.exponential(size=40))
        guess = truth[["days"]] * rng.exponential(size=[40, 1])
        taken = truth[["days"]].notna()
        held = HeldOut.of(SimpleNamespace(frame=truth, schema=table.schema), taken)
        own = errors(held, table, {"model": guess, "other": -guess})
        found.append(own["concordance of survival times, model"])
        turned = own["concordance of survival times, other less model"]
        assert turned["value"] == pytest.approx(1 - 2 * found[-1]["value"])
    spread = np.std([one["value"] for one in found])
    reported = np.mean([one["standard_error"] for one in found])
    assert reported == pytest.approx(spread, rel=0.25) and found[0]["examples"] == 40
