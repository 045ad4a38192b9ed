"""The analysis of imputation on a table of two modalities."""

from types import SimpleNamespace

import numpy as np
import pytest

from tf_mvae import MVAE
from tf_mvae.data import from_frame
from tf_mvae.evaluation import Settings
from tf_mvae.evaluation.imputation import analyze, held_out
from tf_mvae.evaluation.imputation_baselines import _units
from tf_mvae.evaluation.report import table as printed

pd = pytest.importorskip("pandas")
pytest.importorskip("sklearn")


def test_each_modality_is_held_out_as_a_whole_and_compared():
    rng = np.random.default_rng(0)
    z = rng.normal(size=40)
    frame = pd.DataFrame(
        {"a": z + 0.1 * rng.normal(size=40), "b": -z, "kind": np.array(["x", "y"])[(z > 0) * 1]}
    )
    groups = {"numbers": ["a", "b"], "classes": ["kind"]}
    table = from_frame(frame, modalities=groups, verbose=False)
    model = MVAE(table.modalities(), latent_dim=2)
    run = SimpleNamespace(model=model, table=lambda split: table)
    results = analyze(run, Settings(num_samples=5, max_examples=20))
    # The sign of a number says the class; nothing says the numbers.
    known = results["classes held out: wrong classes, KNNImputer"]
    assert known["value"] < 0.3 and known["examples"] == 20
    guess = results["classes held out: wrong classes, mean or mode"]
    assert guess["value"] > known["value"]
    assert results["numbers held out: error of numbers, model"]["examples"] == 40
    assert results["numbers held out: numbers inside the 90% interval, model"]["examples"] == 40
    assert len(results["coverage error, model"]["coverage"]) == 19
    text = printed({"imputation": {"results": results}})
    assert "imputation: modality held out, error of numbers" in text


def test_a_column_that_is_empty_in_training_has_the_unit_of_its_schema():
    frame = pd.DataFrame({"a": [0.5, 1.5, 4.0], "b": [1.5, 2.5, 9.0]})
    schema = from_frame(frame, verbose=False).schema
    table = from_frame(frame.assign(b=np.nan), schema, verbose=False)
    assert _units(table)["b"] == (0.0, 1.0) and np.isfinite(_units(table)["a"]).all()


def test_survival_times_are_compared_by_their_order():
    """Times that are twice as long with each unit of x; a third is censored."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=80)
    time, end = 100 * 2.0**x * rng.weibull(8, 80), rng.uniform(50, 300, 80)
    frame = pd.DataFrame({"x": x, "days": np.minimum(time, end), "died": (time <= end) * 1.0})
    frame.loc[:3, "died"] = np.nan
    table = from_frame(frame, survival={"days": "died"}, verbose=False)
    holes, taken = held_out(table, 0.5)
    assert not taken.loc[:3, "days"].any() and holes.frame["died"].equals(frame["died"])
    model = MVAE(table.modalities(), latent_dim=2)
    run = SimpleNamespace(model=model, table=lambda split: table)
    results = analyze(run, Settings(num_samples=5))
    found = results["days held out: concordance of survival times, IterativeImputer"]
    assert found["value"] > 0.85 and found["examples"] == 76
    assert results["concordance of survival times, mean or mode"]["value"] == 0.5
    assert 0 <= results["concordance of survival times, model"]["value"] <= 1
    # Of days and died there are neither errors nor intervals: what is left is x.
    cells = results["error of numbers, model"]["examples"]
    assert cells == results["numbers inside the 90% interval, model"]["examples"]
    assert "days held out: error of numbers, model" not in results
