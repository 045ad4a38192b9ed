"""Baselines of imputation: their rounds, and the range of their estimates."""

import numpy as np
import pytest

from tf_mvae.data import Table, from_frame
from tf_mvae.evaluation import Settings
from tf_mvae.evaluation.imputation_baselines import _units, fit_baselines

pd = pytest.importorskip("pandas")
pytest.importorskip("sklearn")


def given(covariance, row):
    """Returns a row of mean 0 whose gaps are the Gaussian conditional mean of its other cells."""
    gaps = np.isnan(row)
    if gaps.all():
        return np.zeros_like(row)
    gain = np.linalg.solve(covariance[np.ix_(~gaps, ~gaps)], covariance[np.ix_(~gaps, gaps)])
    return np.where(gaps, 0, row) + np.bincount(np.flatnonzero(gaps), row[~gaps] @ gain, len(row))


def test_a_training_table_without_gaps_takes_as_many_rounds_as_one_with_gaps():
    """Twelve columns of three factors: after ten rounds as good as the exact conditional mean."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=[3, 12])
    values = rng.normal(size=[600, 3]) @ weights + 0.3 * rng.normal(size=[600, 12])
    frame = pd.DataFrame(values, columns=[f"c{place}" for place in range(12)])
    train = from_frame(frame[:300], verbose=False)
    gaps = rng.uniform(size=[300, 12]) < 0.4
    baselines = fit_baselines(train, Settings())
    assert baselines.rounds == {"IterativeImputer": 10, "random forests": 3}
    filled = baselines.fill(Table(frame[300:].mask(gaps), train.schema))
    truth = values[300:]
    best = np.stack([given(np.cov(values[:300].T), row) for row in np.where(gaps, np.nan, truth)])
    wanted, found = (
        np.sqrt(np.mean((estimates - truth)[gaps] ** 2))
        for estimates in (best, filled["IterativeImputer"].to_numpy())
    )
    assert found < 1.1 * wanted  # after one round 1.7 times as much


def test_estimates_stay_in_the_range_of_the_training_table():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=100)
    frame = pd.DataFrame({"x": x, "y": 3 * x + 0.01 * rng.normal(size=100), "z": -x})
    train = from_frame(frame, verbose=False)
    far = pd.DataFrame({"x": [50.0, -50.0, 0.5], "y": [np.nan] * 3, "z": [np.nan] * 3})
    filled = fit_baselines(train, Settings()).fill(Table(far, train.schema))["IterativeImputer"]
    bounds = [frame["y"].max(), frame["y"].min()]
    np.testing.assert_allclose(filled["y"][:2], bounds, rtol=1e-5)
    assert filled["y"][2] == pytest.approx(1.5, abs=0.1)
    assert filled["x"].tolist() == pytest.approx([50, -50, 0.5])


def test_columns_of_one_value_or_none_have_no_range():
    values = {"a": [0.5, 1.5, 4.0], "b": [1.5, 2.5, 9.0], "c": [1.0, 3.0, 2.0]}
    frame = pd.DataFrame({name: three * 9 for name, three in values.items()})
    schema = from_frame(frame, types={"c": "real"}, verbose=False).schema
    train = from_frame(frame.assign(b=np.nan, c=2.0), schema, verbose=False)
    filled = fit_baselines(train, Settings()).fill(Table(frame * np.nan, schema))
    for estimates in filled.values():
        assert (estimates["c"] == 2).all() and np.isfinite(estimates["b"].astype(float)).all()


def test_a_column_that_is_empty_in_training_has_the_unit_of_its_schema():
    frame = pd.DataFrame({"a": [0.5, 1.5, 4.0], "b": [1.5, 2.5, 9.0]})
    schema = from_frame(frame, verbose=False).schema
    table = from_frame(frame.assign(b=np.nan), schema, verbose=False)
    assert _units(table)["b"] == (0.0, 1.0) and np.isfinite(_units(table)["a"]).all()
