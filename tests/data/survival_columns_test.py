"""Tests of survival times in tables: pairs in and out, what is refused, and the right times."""

import json

import hypothesis
import keras
import numpy as np
import pytest
import scipy.stats
from hypothesis import strategies as st

from tf_mvae import MVAE, UserError, likelihoods
from tf_mvae.data import Schema, from_frame
from tf_mvae.data.column import Column
from tf_mvae.data.schema_inference import describe_schema, infer_schema
from tf_mvae.data.survival_columns import suggested_pair
from tf_mvae.inference.table_rows import generate_rows

pd = pytest.importorskip("pandas")

PAIRS = st.lists(
    st.tuples(
        st.none() | st.floats(1e-3, 1e5),
        st.none() | st.booleans() | st.sampled_from([0, 1, 0.0, 1.0]),
    ),
    min_size=1,
    max_size=20,
)


def make_frame(rows=40, seed=0):
    """Returns patients; in rows 0, 1 and 2 the time, the event, and both are missing."""
    rng = np.random.default_rng(seed)
    event = rng.integers(0, 2, rows)
    event[[3, 4]] = 0, 1
    frame = pd.DataFrame(
        {
            "age": rng.normal(60, 9, rows),
            "days": 400 * rng.weibull(1.5, rows),
            "died": pd.array(event, "Int64"),
            "sex": rng.choice(["f", "m"], rows),
        },
        index=[f"p{i}" for i in range(rows)],
    )
    frame.loc[["p0", "p2"], "days"] = np.nan
    frame.loc[["p1", "p2"], "died"] = pd.NA
    frame.loc["p0", "died"] = 0
    return frame


def make_table(**kwargs):
    return from_frame(make_frame(), survival={"days": "died"}, verbose=False, **kwargs)


@hypothesis.settings(max_examples=200, deadline=None, derandomize=True)
@hypothesis.given(PAIRS, st.floats(1e-2, 1e4))
def test_every_observed_pair_comes_back(pairs, scale):
    times, events = (pd.Series(list(own), dtype=object) for own in zip(*pairs, strict=True))
    frame = pd.DataFrame({"t": times, "e": events})
    column = Column("t", "survival", scale=scale, event="e")
    schema = Schema({"t": column}, {"t": ("t",)})
    batch = schema.encode(frame)
    there = np.array([t is not None and e is not None for t, e in pairs])
    np.testing.assert_array_equal(batch["mask"]["t"] > 0, there)
    np.testing.assert_array_equal(~schema.missing_cells(frame)["t"], there)
    found = batch["x"]["t"][there]
    expected = np.array([(t, float(e)) for t, e in pairs if t is not None and e is not None])
    np.testing.assert_allclose(column.decode(found[:, 0]), expected.reshape(-1, 2)[:, 0], rtol=1e-6)
    np.testing.assert_array_equal(found[:, 1], expected.reshape(-1, 2)[:, 1])
    assert batch["x"]["t"].dtype == np.float32 and np.isfinite(batch["x"]["t"]).all()


@pytest.mark.parametrize("modalities", ["one", "types", "columns"])
def test_a_time_is_a_modality_and_its_events_are_no_column(modalities, tmp_path):
    table = make_table(modalities=modalities)
    (name,) = [m for m in table.schema.modalities if table.schema.survival_column(m)]
    assert table.schema.modalities[name] == ("days",) and "died" not in table.schema.columns
    assert name == ("survival" if modalities == "types" else "days")
    assert isinstance(table.schema.likelihood(name), likelihoods.CensoredWeibull)
    there = table.batch["mask"][name] > 0
    assert list(np.flatnonzero(~there)) == [0, 1, 2]
    assert table.batch["x"][name][there, 0].mean() == pytest.approx(1)
    table.schema.save(tmp_path / "schema.json")
    assert Schema.load(tmp_path / "schema.json") == table.schema
    assert Schema.of_modalities(table.modalities()) == table.schema


def test_times_are_never_inferred_but_suggested():
    frame = make_frame().rename(columns={"days": "time_to_death"})
    schema, _ = infer_schema(frame)
    assert "survival" not in {column.type for column in schema.columns.values()}
    assert suggested_pair(schema) == ("time_to_death", "died")
    assert suggested_pair(infer_schema(make_frame())[0]) is None
    known, _ = infer_schema(frame, survival={"time_to_death": "died"})
    assert suggested_pair(known) is None
    said = describe_schema(known, frame, {})
    censored = (frame["died"][3:] == 0).mean()
    assert (
        f"time_to_death: survival (events died; {censored:.0%} of the times are censored)" in said
    )


@pytest.mark.parametrize("other", ["real", "positive", "count"])
def test_a_user_changes_one_entry_of_a_schema(other, tmp_path):
    """The events leave their modality, and the unit of the old type stays one of times."""
    frame = make_frame()
    schema, _ = infer_schema(frame, types={"days": other})
    schema.save(tmp_path / "schema.json")
    saved = json.loads((tmp_path / "schema.json").read_text())
    for entry in saved["columns"]:
        if entry["name"] == "days":
            entry |= {"type": "survival", "event": "died"}
    (tmp_path / "schema.json").write_text(json.dumps(saved))
    changed = Schema.load(tmp_path / "schema.json")
    assert changed.modalities == {"table": ("age", "sex"), "days": ("days",)}
    x = changed.encode(frame)["x"]["days"]
    assert 0 < x[3:, 0].min() and 0.3 < x[3:, 0].mean() < 5
    minimal = {"name": "days", "type": "survival", "event": "died"}
    saved = {"modalities": {"t": ["days"]}, "columns": [minimal]}
    (tmp_path / "schema.json").write_text(json.dumps(saved))
    assert Schema.load(tmp_path / "schema.json").columns["days"].scale == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"days": -1.0}, "'days' is survival and holds -1 in row 'p0'; times are above 0"),
        ({"days": 0.0}, "holds 0 in row 'p0'; times are above 0"),
        ({"days": np.inf}, "holds inf in row 'p0'"),
        ({"days": "long"}, "column 'days' is survival: could not convert"),
        ({"died": 2}, "'died' holds 2 in row 'p0'; an event is 1 .* or 0"),
        ({"died": "1"}, "'died' holds '1' in row 'p0'"),
        ({"died": None, "days": -2.0}, "holds -2 in row 'p0'"),
    ],
)
def test_what_is_no_survival_time_is_one_clear_line(change, message):
    schema = make_table().schema
    with pytest.raises(UserError, match=message) as found:
        schema.encode(make_frame().assign(**change))
    assert "\n" not in str(found.value)


def test_a_column_that_is_not_there_is_one_clear_line():
    frame, schema = make_frame(), make_table().schema
    with pytest.raises(UserError, match="'died', the survival column of the events of 'days', is"):
        schema.encode(frame.drop(columns="died"))
    with pytest.raises(UserError, match="'days', the survival time, is not in the table"):
        schema.encode(frame.drop(columns="days"))
    with pytest.raises(UserError, match="the table has no column 'dead'"):
        infer_schema(frame, survival={"days": "dead"})
    with pytest.raises(UserError, match="no row has a time"):
        infer_schema(frame.iloc[:3], survival={"days": "died"})
    empty = schema.encode(frame.assign(died=None, days=np.nan))
    assert not empty["mask"]["days"].any()


def test_roles_that_contradict_each_other_are_refused():
    frame = make_frame().assign(more=1.0)
    pairs = {"days": "died"}
    for kwargs, message in (
        ({"survival": pairs, "covariates": ["died"]}, "'died' has the events of a survival time"),
        ({"survival": pairs, "covariates": ["days"]}, "'days' is survival; it cannot be a cov"),
        ({"survival": {"days": "died", "more": "died"}}, "events of two times"),
        ({"survival": {"days": "days"}}, "name its column of events"),
        ({"types": {"days": "survival"}}, "name its column of events"),
    ):
        with pytest.raises(UserError, match=message):
            infer_schema(frame, **kwargs)
    with pytest.raises(UserError, match="these belong to the type survival"):
        Column("age", "real", event="died")
    days = Column("days", "survival", event="died")
    age = Column("age", "real")
    with pytest.raises(UserError, match="make it a modality of its own"):
        Schema({"days": days, "age": age}, {"a": ("days", "age")})
    with pytest.raises(UserError, match="cannot be a covariate, a time or a column"):
        Schema({"days": days, "died": Column("died", "real")}, {"a": ("days",), "b": ("died",)})


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    path = tmp_path_factory.mktemp("survival") / "model.keras"
    MVAE(make_table().modalities(), 2).save(path)
    return keras.models.load_model(path)


@pytest.mark.parametrize("kind", ["Int64", "float", "boolean", "object", "bool objects"])
def test_a_filled_frame_keeps_censored_rows_and_has_times_of_events_in_gaps(kind, loaded):
    frame, table = make_frame(), make_table()
    dtype = {"bool objects": "boolean"}.get(kind, kind)
    frame["died"] = frame["died"].astype(dtype)
    if kind == "bool objects":
        frame["died"] = frame["died"].astype(object)
    found = loaded.impute(frame, 20, seed=1)
    filled, gaps = found.filled, ["p0", "p1", "p2"]
    pd.testing.assert_frame_equal(filled.drop(index=gaps), frame.drop(index=gaps))
    assert (filled.loc[gaps, "died"] == 1).all() and not filled.isna().any(axis=None)
    assert filled["died"].dtype == frame["died"].dtype
    if kind == "bool objects":
        assert all(value is True for value in filled.loc[gaps, "died"])
    np.testing.assert_array_equal(filled.loc[gaps, "days"], found.mean.loc[gaps, "days"])
    low, high = (found.quantiles[q]["days"] for q in (0.05, 0.95))
    assert (0 < low).all() and (low < high).all() and high.mean() > 100  # days, not units
    assert (found.standard_deviation["days"] > 0).all()
    details = found.details(from_frame(frame, table.schema))
    assert list(details["row"]) == gaps and set(details["column"]) == {"days"}


def test_generated_rows_have_times_of_events_unless_a_pair_is_given(loaded):
    table, model = make_table(), loaded
    rows = generate_rows(model, table.schema, {"sex": "f"}, 30)
    assert set(rows.columns) == {"age", "days", "died", "sex"}
    assert (rows["died"] == 1).all() and (rows["days"] > 0).all() and rows["days"].nunique() == 30
    rows = generate_rows(model, table.schema, {"days": "250", "died": "0"}, 3)
    assert (rows["died"] == 0).all() and (rows["days"] == 250).all()
    rows = generate_rows(model, table.schema, {"days": "250", "died": "1.0"}, 3)
    assert list(rows["died"]) == [1] * 3 and rows["died"].dtype == np.int64
    for cells in ({"days": 250}, {"died": 1}):
        with pytest.raises(UserError, match="give both .*days=TIME --condition=died=1"):
            generate_rows(model, table.schema, cells, 3)
    with pytest.raises(UserError, match="'yes' is no number"):
        generate_rows(model, table.schema, {"days": "250", "died": "yes"}, 3)
    with pytest.raises(UserError, match="an event is 1"):
        generate_rows(model, table.schema, {"days": "250", "died": "3"}, 3)


def test_a_trained_model_has_the_quantiles_of_the_weibull_that_fits_the_censored_times_best():
    """The oracle is scipy's maximum likelihood; to take censored times for events fails."""
    rng = np.random.default_rng(0)
    rows = 600
    time, end = 300 * rng.weibull(1.6, rows), rng.uniform(50, 500, rows)
    died = time <= end
    frame = pd.DataFrame({"days": np.minimum(time, end), "died": died.astype(int)})
    data = scipy.stats.CensoredData(frame["days"][died], right=frame["days"][~died])
    best, naive = (
        scipy.stats.weibull_min(*scipy.stats.weibull_min.fit(values, floc=0))
        for values in (data, frame["days"])
    )
    table = from_frame(frame, survival={"days": "died"}, verbose=False)
    keras.utils.set_random_seed(0)
    model = MVAE(table.modalities(), 1, seed=0)
    model.compile(keras.optimizers.Adam(3e-3), jit_compile=False, steps_per_execution=6)
    model.fit(table.batch, epochs=60, batch_size=100, verbose=0)
    probabilities = (0.25, 0.5, 0.75)
    unknown = pd.DataFrame({"days": [np.nan], "died": [None]})
    found = model.impute(unknown, 20000, probabilities, seed=1)
    quantiles = [found.quantiles[q]["days"][0] for q in probabilities]
    assert found.filled["died"][0] == 1
    np.testing.assert_allclose(quantiles, best.ppf(probabilities), rtol=0.08)
    assert np.abs(naive.ppf(probabilities) / best.ppf(probabilities) - 1).max() > 0.2
    np.testing.assert_allclose(found.mean["days"][0], best.mean(), rtol=0.08)
    # The bound is near the log-likelihood of the fit, in the model's unit.
    scale = table.schema.columns["days"].scale
    log_likelihood = np.where(
        died, best.logpdf(frame["days"]) + np.log(scale), best.logsf(frame["days"])
    )
    bound = np.mean(model.elbo(table.batch, seed=2).elbo)
    assert bound == pytest.approx(log_likelihood.mean(), abs=0.03)
