"""Imputation: the exact conditional distribution, units, and unchanged observed values."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tests.data.tables_test import make_frame
from tests.models.element_masks_test import make_batch, make_model
from tf_mvae import CVAE, MVAE, Modality, ModalityGroup, UserError, likelihoods
from tf_mvae.data import from_frame
from tf_mvae.data.schema import Schema
from tf_mvae.inference.table_rows import generate_rows

pytestmark = pytest.mark.usefixtures("untraced")

NOISE = 0.5


def linear_model(seed=0):
    """A linear-Gaussian model whose approximate posterior is not the exact one."""
    rng = np.random.default_rng(seed)
    modality = Modality(
        "a",
        likelihoods.Normal([4], scale=NOISE),
        keras.layers.Identity(),
        keras.layers.Dense(4),
        element_mask=True,
    )
    model = MVAE([modality], latent_dim=2)
    kernel = rng.normal(size=[2, 4])
    modality.decoder.set_weights([kernel, np.zeros(4)])
    head = [0.05 * rng.normal(size=w.shape) for w in modality.expert_head.get_weights()]
    head[1][2:] = 1.0
    modality.expert_head.set_weights(head)
    return model, kernel.T @ kernel + NOISE**2 * np.eye(4)


def test_importance_weights_give_the_exact_conditional_distribution():
    model, covariance = linear_model()
    values = np.random.default_rng(1).multivariate_normal(np.zeros(4), covariance, size=3)
    there = np.array([[1, 1, 0, 0], [0, 1, 1, 1], [1, 0, 1, 0]], bool)
    x = np.where(there, values, np.nan).astype(np.float32)
    found = model.impute({"x": {"a": x}}, 20000, (0.1, 0.9), seed=2, importance=True)["a"]
    for row, (value, known) in enumerate(zip(values, there, strict=True)):
        gain = covariance[np.ix_(~known, known)] @ np.linalg.inv(covariance[np.ix_(known, known)])
        mean = gain @ value[known]
        rest = covariance[np.ix_(~known, ~known)] - gain @ covariance[np.ix_(known, ~known)]
        spread = np.sqrt(np.diag(rest))
        np.testing.assert_allclose(found.mean[row][~known], mean, atol=0.05)
        np.testing.assert_allclose(found.standard_deviation[row][~known], spread, rtol=0.05)
        upper = found.quantiles[0.9][row][~known]
        np.testing.assert_allclose(upper, mean + 1.2816 * spread, atol=0.08)
    np.testing.assert_array_equal(found.filled[there], x[there])
    np.testing.assert_array_equal(found.missing, ~there)


def test_observed_entries_stay_and_gaps_are_filled_whatever_stands_there():
    model, batch = make_model(), make_batch()
    dirty = {"x": dict(batch["x"]), "mask": batch["mask"]}
    dirty["x"]["table"] = np.where(batch["mask"]["table"] > 0, batch["x"]["table"], 1e30)
    one, other = (model.impute(b, 20, (0.25,), seed=1) for b in (batch, dirty))
    for name, found in one.items():
        there = batch["mask"][name] > 0
        prepared = batch["x"][name] / (255 if name == "image" else 1)
        np.testing.assert_allclose(found.filled[there], prepared[there], rtol=1e-6)
        assert np.isfinite(found.filled).all() and found.quantiles[0.25].shape == there.shape
        np.testing.assert_array_equal(found.filled, other[name].filled)
    probabilities = one["table"].probabilities[2]
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(one["table"].mean[:, 2], probabilities.argmax(1))
    assert np.isnan(one["table"].standard_deviation[:, 2]).all()


def test_whole_modalities_classes_and_conditions_are_filled():
    model, batch = tiny.make_model(), tiny.make_batch()
    found = model.impute({"image": batch["x"]["image"]}, 5, ())
    assert found["label"].missing.all() and found["label"].filled.dtype == np.int32
    assert found["label"].probabilities[0].shape == (8, tiny.NUM_CLASSES)
    assert not found["image"].missing.any()
    conditional = tiny.make_any(CVAE)
    given = {n: batch["x"][n] for n in ("label", "reading")}
    assert conditional.impute(given, 5)["image"].missing.all()
    for importance in (False, True):
        model.impute(batch, 5, importance=importance)


def test_a_table_comes_back_in_its_units():
    frame = make_frame(30)
    table = from_frame(frame, verbose=False)
    model = MVAE(table.modalities(), latent_dim=2)
    found = model.impute(table, 10, (0.1, 0.9), seed=3)
    assert not found.filled.isna().any(axis=None)
    assert list(found.filled.columns) == list(frame.columns)
    observed = frame.notna()
    assert (found.filled.astype(object) == frame.astype(object)).to_numpy()[observed].all()
    assert found.filled.index.equals(frame.index)
    assert set(found.filled["grade"]) <= {"low", "mid", "high"}
    assert 30 < found.mean["weight"].mean() < 110
    assert (found.quantiles[0.1]["weight"] <= found.quantiles[0.9]["weight"]).all()
    assert found.quantiles[0.1]["site"].isna().all()
    np.testing.assert_allclose(found.probabilities["site"].sum(axis=1), 1, rtol=1e-5)
    details = found.details(table)
    assert len(details) == int((~observed).to_numpy().sum())
    assert {"row", "column", "estimate", "quantile_0.1", "probability"} <= set(details.columns)


def test_wrong_arguments_are_refused():
    model, batch = make_model(), make_batch()
    with pytest.raises(UserError, match="quantiles are above 0"):
        model.impute(batch, quantiles=(0.0,))
    with pytest.raises(UserError, match="num_samples"):
        model.impute(batch, num_samples=0)
    with pytest.raises(UserError, match="quantiles are numbers above 0 and below 1; they are 0.5"):
        model.impute(batch, quantiles=0.5)
    with pytest.raises(UserError, match="first_row"):
        model.impute(batch, first_row="a")
    frame = pytest.importorskip("pandas").DataFrame({"a": [1.0]})
    with pytest.raises(UserError, match="a column alone is no table"):
        model.impute(frame["a"])
    with pytest.raises(UserError, match="the data set is empty"):
        model.impute(tf.nest.map_structure(lambda values: values[:0], batch))


def test_conditions_that_are_masked_are_refused_as_generate_does():
    parts = [Modality("n", likelihoods.Normal([2])), Modality("y", likelihoods.Normal([3]))]
    model = CVAE(parts, latent_dim=2, units=[8])
    x = {"y": np.float32([[1, 2, 3], [np.nan, 8, 9]])}
    with pytest.raises(UserError, match="needs 'y' of every example"):
        model.impute({"x": x, "mask": {"y": [1, 0]}}, 3)


def test_a_table_of_another_schema_is_refused():
    """Its numbers and classes would be read in the model's units and order."""
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"r": np.linspace(0.5, 9.5, 10) ** 2, "c": list("abcabcabca")})
    model = MVAE(from_frame(frame, verbose=False).modalities(), latent_dim=2)
    others = {
        "column 'r' has another type, unit": frame.assign(r=1000 * frame["r"]),
        "column 'c' has another type, unit": frame.assign(c=list("xbxbxbxbxb")),
        "columns of 'table' are others": frame[["r"]],
    }
    for words, other in others.items():
        table = from_frame(other, verbose=False)
        for call in (model.impute, model.predict):
            with pytest.raises(UserError, match=words):
                call(table)
    table = from_frame(frame[:4], Schema.of_modalities(model.modalities), verbose=False)
    assert len(model.impute(table, 3).filled) == 4


def test_it_is_the_same_for_all_batch_sizes_of_one_model():
    model, batch = make_model(), make_batch(6)
    one = model.impute(batch, 8, seed=4)
    assert one["counts"].filled.shape == (6, 3)
    again = model.impute(tf.nest.map_structure(tf.constant, batch), 8, seed=4)
    np.testing.assert_array_equal(one["counts"].mean, again["counts"].mean)


def test_rows_are_made_up_given_cells_in_the_tables_units():
    frame = make_frame(30)
    schema = from_frame(frame, verbose=False).schema
    model = MVAE(schema.make_modalities(), latent_dim=2)
    rows = generate_rows(model, schema, {"site": "B", "weight": "80"}, 50, seed=1)
    assert len(rows) == 50 and set(rows.columns) == set(frame.columns)
    assert set(rows["site"]) == {"B"} and set(rows["weight"]) == {80.0}
    assert set(rows["grade"]) <= {"low", "mid", "high"} and (rows["crp"] > 0).all()
    assert rows["visits"].nunique() > 1
    again = generate_rows(model, schema, {"site": "B", "weight": 80.0}, 50, seed=1)
    assert again.equals(rows)
    cells = {"site": "B", "weight": 80.0, "grade": None, "crp": np.nan}
    assert generate_rows(model, schema, cells, 50, seed=1).equals(rows)
    graded = generate_rows(model, schema, {"stage": "2.0"}, 3)  # as a table with gaps has it
    assert set(graded["stage"]) == {2}
    for cells, message in (
        ({"sight": "B"}, "has no column 'sight'"),
        ({"weight": "heavy"}, "'heavy' is no number"),
        ({"weight": "nan"}, "'nan' is no number"),
        ({"site": "Z"}, "none of its categories"),
    ):
        with pytest.raises(UserError, match=message):
            generate_rows(model, schema, cells, 5)
    needs_table = types.SimpleNamespace(name="cvae", conditions=("table",))
    with pytest.raises(UserError, match="cvae generates from 'weight': give its value"):
        generate_rows(needs_table, schema, {}, 5)


@pytest.mark.parametrize("members", [("a",), ("a", "b")])
def test_the_columns_of_a_groups_members_stay_with_their_member(members):
    """Columns of several types are parts, each of which has all members."""
    one = likelihoods.Columns([likelihoods.Normal([2], scale=1.0), likelihoods.Categorical(3)])
    model = MVAE([ModalityGroup("g", members, one), Modality("y", likelihoods.Normal([1]))], 2)
    rng, shape = np.random.default_rng(0), (4, len(members))
    numbers, classes = rng.normal(size=[*shape, 2]), rng.integers(3, size=[*shape, 1])
    x = {"g": np.concatenate([numbers, classes], -1).astype(np.float32), "y": np.zeros([4, 1])}
    mask = {"g": np.arange(np.prod(shape)).reshape(shape) % 3 > 0}
    found = model.impute({"x": x, "mask": mask}, 50, (0.1, 0.9), seed=1)["g"]
    np.testing.assert_array_equal(found.filled[mask["g"]], x["g"][mask["g"]])
    np.testing.assert_array_equal(found.missing, ~mask["g"][..., None] & np.ones(3, bool))
    assert list(found.probabilities) == [2] and found.probabilities[2].shape == (*shape, 3)
    np.testing.assert_array_equal(found.mean[..., 2], found.probabilities[2].argmax(-1))
    low, high = found.quantiles[0.1][..., :2], found.quantiles[0.9][..., :2]
    assert np.all((low < found.mean[..., :2]) & (found.mean[..., :2] < high))
