"""The analysis of a class that is predicted from every subset of a table's modalities."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from tf_mvae import MVAE, LinearAnnealing
from tf_mvae.data import from_frame
from tf_mvae.errors import UserError
from tf_mvae.evaluation import Settings
from tf_mvae.evaluation.label_prediction import METHODS, analyze

pd = pytest.importorskip("pandas")
pytest.importorskip("sklearn")


def make_table(rows=120):
    """Assay a determines the class and is missing in a third of the rows; assay b is noise."""
    rng = np.random.default_rng(0)
    label = rng.integers(2, size=rows)
    frame = pd.DataFrame(
        {"a": 2.0 * label + 0.2 * rng.normal(size=rows), "b": rng.normal(size=rows)}
    )
    frame["kind"] = np.array(["x", "y"])[label]
    frame.loc[::3, "a"] = np.nan
    return from_frame(frame, modalities={n: [n] for n in ("a", "b", "kind")}, verbose=False)


def test_every_subset_is_asked_and_an_assay_that_says_nothing_is_no_help():
    table = make_table()
    keras.utils.set_random_seed(0)
    # Without annealing so few rows leave the latent unused.
    model = MVAE(table.modalities(), latent_dim=2, kl_weight=LinearAnnealing(200))
    model.compile(keras.optimizers.Adam(5e-3), jit_compile=False, steps_per_execution=4)
    model.fit(table.batch, epochs=75, batch_size=30, verbose=0)
    run = SimpleNamespace(model=model, table=lambda split: table)
    found = analyze(run, Settings(num_samples=20))
    names = {key.partition(": ")[0] for key in found}
    assert names == {f"right kind | {name}" for name in ("a", "b", "a + b")}
    assert len(found) == 3 * len(METHODS)
    for method in METHODS[:4]:
        assert found[f"right kind | a: {method}"]["value"] > 0.9, method
    assert found["right kind | b: logistic regression, complete rows"]["value"] < 0.7
    # Complete cases: rows that have the whole subset teach it, and are asked.
    assert found["right kind | a + b: model"]["examples"] == 80
    assert found["right kind | b: random forest, complete rows"]["rows"] == 120


def test_a_table_without_such_a_modality_is_refused():
    frame = pd.DataFrame({"a": np.arange(30) % 7 / 2, "b": np.arange(30) ** 0.5})
    table = from_frame(frame, modalities="columns", verbose=False)
    run = SimpleNamespace(model=None, table=lambda split: table)
    with pytest.raises(UserError, match="one column of classes"):
        analyze(run, Settings())
