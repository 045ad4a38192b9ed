"""The analysis of imputation on a table of two modalities."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from tf_mvae import MVAE
from tf_mvae.data import from_frame
from tf_mvae.evaluation import Settings
from tf_mvae.evaluation.imputation import analyze, held_out
from tf_mvae.evaluation.imputation_calibration import of_calibrated
from tf_mvae.evaluation.report import table as printed
from tf_mvae.samplers import FlowMatching

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
    text = printed(json.loads(json.dumps({"imputation": {"results": results}})))
    assert "imputation: modality held out, error of numbers" in text
    assert "imputation: modality held out, wrong classes, less the model's" in text
    # The 20 rows are repeated ten times, and stay 20 rows; the training table has no gaps.
    one = results["error of numbers, IterativeImputer"]
    assert one["rows"] <= 20 and one["examples"] > 40 and one["rounds"] == 10
    assert results["error of numbers, random forests"]["rounds"] == 3
    assert f"error of numbers, IterativeImputer ({one['rows']} rows, 10 rounds)" in text
    values = [results[f"wrong classes, {what}"]["value"] for what in ("KNNImputer", "model")]
    less = results["wrong classes, KNNImputer less model"]
    assert less["value"] == pytest.approx(values[0] - values[1]) and less["standard_error"] > 0
    for what in ("numbers inside the 90% interval", "PIT in the central 90%"):
        assert results[f"{what}, model, importance weights"]["rows"] == one["rows"]
    for key in ("coverage error, model", "calibration error of classes, model"):
        assert 0 < results[of_calibrated(key)]["value"] < 0.3


def test_weights_that_need_a_slow_density_are_not_taken():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=20), "b": rng.normal(size=20)})
    table = from_frame(frame, verbose=False)
    model = MVAE(table.modalities(), latent_dim=2)
    model.set_sampler(FlowMatching(2, model.num_columns, 8, 1, 2, num_clusters=2, width=8))
    run = SimpleNamespace(model=model, table=lambda split: table)
    results = analyze(run, Settings(num_samples=5))
    assert "error of numbers, model" in results
    assert not [key for key in results if "importance weights" in key]


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
