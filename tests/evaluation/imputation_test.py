"""The analysis of imputation on a table of two modalities."""

from types import SimpleNamespace

import numpy as np
import pytest

from tf_mvae import MVAE
from tf_mvae.data import from_frame
from tf_mvae.evaluation import Settings
from tf_mvae.evaluation.imputation import analyze
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
