"""Tests of data frames as batches: inferred schemas, round trips, and what does not fit."""

import json

import numpy as np
import pytest

from tf_mvae import MVAE, UserError
from tf_mvae.data import Schema, from_frame
from tf_mvae.data.schema_inference import describe_schema, infer_schema
from tf_mvae.data.table_files import read_table, read_table_and_modalities, write_table
from tf_mvae.data.tables import split_rows, without_split
from tf_mvae.inference.table_rows import generate_rows

pd = pytest.importorskip("pandas")


GRADES = ["low", "mid", "high"]


def make_frame(rows=60, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "weight": rng.normal(70, 10, rows),
            "visits": pd.array(rng.poisson(9, rows), "Int64"),
            "crp": rng.lognormal(1, 1.5, rows),
            "share": rng.uniform(size=rows),
            "smokes": rng.uniform(size=rows) < 0.4,
            "stage": rng.integers(0, 4, rows),
            "site": rng.choice(["A", "B", "C"], rows),
            "sex": rng.choice(["f", "m"], rows),
            "grade": pd.Categorical(
                rng.choice(["low", "mid", "high"], rows), ["low", "mid", "high"], True
            ),
        },
        index=[f"p{i}" for i in range(rows)],
    )
    frame.loc["p3", "share"] = 1.0
    frame.loc["p0", "visits"] = 0
    gaps = rng.uniform(size=frame.shape) < 0.2
    gaps[0] = False
    return frame.astype({"smokes": object, "stage": "Int64"}).mask(gaps)


TYPES = {
    "weight": "real",
    "visits": "count",
    "crp": "positive",
    "share": "proportion",
    "smokes": "binary",
    "stage": "ordinal",
    "site": "categorical",
    "sex": "binary",
    "grade": "ordinal",
}


def test_types_are_inferred_and_printed(capsys):
    frame = make_frame()
    table = from_frame(frame)
    assert set(table.schema.modalities) == {"table"}
    table = from_frame(frame, modalities="types")
    assert {name: column.type for name, column in table.schema.columns.items()} == TYPES
    assert set(table.schema.modalities) == set(TYPES.values())
    assert table.schema.columns["grade"].categories == ("low", "mid", "high")
    printed = capsys.readouterr().out
    assert "weight: real" in printed and "site: categorical (A, B, C)" in printed
    assert "% missing" in printed


@pytest.mark.parametrize(
    ("rows", "gaps", "shown"),
    [
        (918, 2, "real, 0.2% missing"),
        (9000, 1, "real, 0.1% missing"),
        (900, 897, "real, 99.7% missing"),
        (900, 450, "real, 50% missing"),
        (900, 0, "real"),
    ],
)
def test_a_few_gaps_are_not_shown_as_none(rows, gaps, shown):
    frame = pd.DataFrame({"x": np.random.default_rng(0).normal(size=rows)})
    frame.loc[: gaps - 1, "x"] = np.nan
    schema, excluded = infer_schema(frame)
    assert describe_schema(schema, frame, excluded).endswith(f"x: {shown}")


def test_what_cannot_be_modelled_is_left_out_with_a_reason():
    frame = make_frame()
    frame["id"] = np.arange(len(frame))
    frame["note"] = [f"text {i}" for i in range(len(frame))]
    frame["when"] = pd.Timestamp("2020-01-01")
    frame["born"] = [f"1980-01-{1 + i % 5:02}" for i in range(len(frame))]
    frame["empty"] = np.nan
    frame["same"] = "x"
    schema, left_out = infer_schema(frame)
    assert set(left_out) == {"id", "note", "when", "born", "empty", "same"}
    assert left_out["born"] == left_out["when"]
    assert "dates" in left_out["when"] and "different values" in left_out["note"]
    assert set(schema.columns) == set(TYPES)


@pytest.mark.parametrize("modalities", ["types", "one", "columns"])
def test_every_observed_cell_comes_back(modalities, tmp_path, monkeypatch):
    frame = make_frame()
    table = from_frame(frame, modalities=modalities, verbose=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    table.schema.save("~/new/schema.json")
    schema = Schema.load("~/new/schema.json")
    assert schema == table.schema == Schema.load(tmp_path / "new" / "schema.json")
    with pytest.raises(UserError, match="schema.json/s.json cannot be written: "):
        schema.save(tmp_path / "new" / "schema.json" / "s.json")
    shuffled = frame[frame.columns[::-1]].assign(extra=1)
    batch = schema.encode(shuffled)
    for modality in schema.modalities:
        np.testing.assert_array_equal(batch["x"][modality], table.batch["x"][modality])
        values = batch["x"][modality].reshape(len(frame), -1)
        there = batch["mask"][modality].reshape(len(frame), -1) > 0
        for place, column in enumerate(schema.of(modality)):
            observed = frame[column.name].notna().to_numpy()
            np.testing.assert_array_equal(there[:, place], observed)
            back = column.decode(values[:, place])[observed]
            expected = frame[column.name][observed]
            if column.is_class:
                assert list(back) == list(expected)
            else:
                np.testing.assert_allclose(back, expected.to_numpy(float), rtol=1e-5)


def test_types_and_modalities_can_be_given():
    frame = make_frame()
    groups = {"blood": ["crp", "weight", "site"], "person": ["sex"]}
    table = from_frame(frame, modalities=groups, types={"crp": "real"}, verbose=False)
    assert table.schema.modalities == {"blood": ("crp", "weight", "site"), "person": ("sex",)}
    assert table.schema.columns["crp"].type == "real"
    model = MVAE(table.modalities(), latent_dim=2)
    assert np.isfinite(model.elbo(table.batch, seed=1).loss)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.assign(site="Z"), "none of its categories"),
        (lambda f: f.assign(crp=-1.0), "is positive and holds -1 in row 'p0'"),
        (lambda f: f.assign(visits=-1), "is count and holds"),
        (lambda f: f.assign(share=1.5), "is proportion and holds"),
        (lambda f: f.assign(weight="heavy"), "column 'weight' is real"),
        (lambda f: f.drop(columns="weight"), "'weight' of the schema is not in the table"),
        (lambda f: f.iloc[:0], "has no rows"),
    ],
)
def test_what_does_not_fit_is_one_clear_line(change, message):
    frame = make_frame()
    schema, _ = infer_schema(frame)
    with pytest.raises(UserError, match=message) as found:
        schema.encode(change(frame))
    assert "\n" not in str(found.value)


def test_a_column_that_is_missing_everywhere_is_no_mistake():
    frame = make_frame()
    schema, _ = infer_schema(frame, "types")
    batch = schema.encode(frame.assign(weight=None, site=np.nan))
    assert not batch["mask"]["categorical"].any() and not batch["mask"]["real"][:, 0].any()


def test_damaged_schemas_and_tables_are_refused(tmp_path):
    path = tmp_path / "schema.json"
    for text, message in (
        ("{", "is no JSON"),
        ("{}", "inspect_table"),
        (
            json.dumps({"modalities": {"a": ["x"]}, "columns": [{"name": "x", "type": "odd"}]}),
            "has the type 'odd'",
        ),
        (json.dumps({"modalities": {"a": ["x"]}, "columns": []}), "has no type"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            Schema.load(path)
    with pytest.raises(UserError, match="cannot be read"):
        Schema.load(tmp_path / "none.json")
    with pytest.raises(UserError, match="cannot be read"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(UserError, match="is a pandas data frame"):
        from_frame([1, 2])


def test_files_are_read_and_written_and_rows_split(tmp_path):
    frame = make_frame(20)
    write_table(frame, tmp_path / "a.csv")
    assert list(read_table(tmp_path / "a.csv").columns) == list(frame.columns)
    rows = split_rows(100)
    assert sorted(np.concatenate(list(rows.values()))) == list(range(100))
    assert [len(rows[n]) for n in ("train", "validation", "test")] == [70, 15, 15]
    named = frame.assign(split=["train", "validation", "test", "train"] * 5)
    rest, names, _ = without_split(named)
    assert "split" not in rest and set(names) == {"train", "validation", "test"}
    assert without_split(frame)[1] is None


def write_cohort(folder):
    """Writes two assays of four patients; each of two patients is missing one."""
    folder.mkdir()
    rna = pd.DataFrame({"patient": ["b", "a", "d"], "tp53": [1.0, 2.5, 0.5], "split": "train"})
    rna["split"] = ["test", "train", "validation"]
    rna.to_csv(folder / "rna.csv.gz", index=False)
    drugs = pd.DataFrame({"patient": ["a", "b", "c"], "dose": [3, 1, 2], "works": list("yny")})
    drugs.to_csv(folder / "drugs.tsv", sep="\t", index=False)
    (folder / "README.md").write_text("no table")


def test_files_of_a_folder_are_joined_and_are_a_modality_each(tmp_path):
    write_cohort(tmp_path / "cohort")
    frame, modalities = read_table_and_modalities(tmp_path / "cohort")
    assert frame.index.name == "patient" and sorted(frame.index) == ["a", "b", "c", "d"]
    assert frame.loc["a"].to_dict() == {"dose": 3, "works": "y", "tp53": 2.5, "split": "train"}
    assert frame.loc["c"].isna().to_dict() == {
        "dose": False,
        "works": False,
        "tp53": True,
        "split": True,
    }
    assert modalities == {"drugs": ["dose", "works"], "rna": ["tp53", "split"]}
    complete = frame.dropna(subset="split")
    rest, names, modalities = without_split(complete, modalities)
    assert modalities == {"drugs": ["dose", "works"], "rna": ["tp53"]}
    assert "split" not in rest and names["b"] == "test"
    table = from_frame(rest, modalities=modalities, verbose=False)
    assert [m.name for m in table.modalities()] == ["drugs", "rna"]


def test_files_of_a_folder_that_do_not_fit_together_are_refused(tmp_path):
    folder = tmp_path / "cohort"
    folder.mkdir()
    with pytest.raises(UserError, match="folder without a file that ends in"):
        read_table_and_modalities(folder)
    one = pd.DataFrame({"patient": ["a", "b"], "dose": [3, 1]})
    one.to_csv(folder / "one.csv", index=False)
    for other, message in (
        (pd.DataFrame({"sample": ["a"], "age": [3]}), "'patient' in one and 'sample' in other"),
        (pd.DataFrame({"patient": ["a"], "dose": [3]}), "'dose' is in one and in other"),
        (pd.DataFrame({"patient": ["a", "a"], "age": [3, 4]}), "come twice"),
        (pd.DataFrame({"patient": [1, 2], "age": [3, 4]}), "numbers in other and text in one"),
    ):
        other.to_csv(folder / "other.csv", index=False)
        with pytest.raises(UserError, match=message):
            read_table_and_modalities(folder)


def test_names_of_files_are_those_of_modalities(tmp_path):
    frame = pd.DataFrame({"patient": ["a", "b"], "dose": [3, 1]})
    for names in (["rna.v1.csv", "rna.v2.csv"], ["rna-seq.csv"]):
        folder = tmp_path / names[0]
        folder.mkdir()
        for name in names:
            frame.to_csv(folder / name, index=False)
        with pytest.raises(UserError, match="what stands before the first dot"):
            read_table_and_modalities(folder)


def test_a_split_that_some_rows_do_not_have_is_refused():
    frame = pd.DataFrame({"a": range(4), "split": ["train", "validation", "test", None]})
    with pytest.raises(UserError, match="empty in 1 rows"):
        without_split(frame)
    named = pd.DataFrame({"a": range(3), "split": ["Train", "Validation", "Test "]})
    with pytest.raises(UserError, match="holds Test , Train, Validation; write train, validation"):
        without_split(named)


def test_text_of_a_type_of_numbers_is_these_numbers():
    """Files of Parquet and pandas categories may hold digits as text."""
    numbers = pd.DataFrame({"a": [52.0, 61.5, 70.0, 88.0], "b": [0.0, 3.0, 900.0, 41.0]} | {
        name: [0.5, np.nan, 2.5, 9.0] for name in "cd"
    })  # fmt: skip
    text = numbers.astype(object).where(numbers.isna(), numbers.astype(str))
    text = text.assign(c=numbers["c"].astype("category"), d=text["d"].astype("category"))
    types = {"a": "real", "b": "count", "c": "positive", "d": "real"}
    found, expected = (from_frame(frame, types=types, verbose=False) for frame in (text, numbers))
    assert found.schema.columns == expected.schema.columns
    for part in ("x", "mask"):
        np.testing.assert_array_equal(found.batch[part]["table"], expected.batch[part]["table"])
    for wrong, words in (("abc", "holds 'abc', which is no number"), ("inf", "infinite numbers")):
        with pytest.raises(UserError, match=words):
            from_frame(text.assign(a=wrong), types=types, verbose=False)


def test_a_single_proportion_of_0_is_a_proportion():
    frame = pd.DataFrame({"a": [0.0, None, None], "b": [0.5, 1.5, 4.0]})
    table = from_frame(frame, types={"a": "proportion"}, verbose=False)
    assert np.all(np.isfinite(table.batch["x"]["table"][0]))


def test_what_is_generated_of_a_proportion_is_one():
    numbers = np.append(np.linspace(0.01, 0.99, 50), [0.0, 1.0])
    (column,) = infer_schema(pd.DataFrame({"share": numbers}))[0].columns.values()
    assert column.type == "proportion" and column.encode(pd.Series([0.0]))[0] > 0
    assert column.decode(np.array([0.0, 1.0])).tolist() == [0.0, 1.0]


def test_numbers_of_one_value_are_left_out_and_reserved_names_changed():
    frame = pd.DataFrame({"same": np.full(30, 3.7), "temperature": np.linspace(-1.3, 2.4, 30)})
    schema, left_out = infer_schema(frame, "columns")
    assert left_out == {"same": "it holds 3.7 only"}
    assert list(schema.modalities) == ["temperature_column"]
    assert from_frame(frame, schema).modalities()


def test_covariates_are_given_and_not_modelled(tmp_path):
    frame = make_frame()
    frame["age in years"] = np.arange(len(frame)) / 7
    frame["ward"] = np.where(np.arange(len(frame)) % 3, "east", "west")
    frame["clinic"] = np.array(["a", "b", "c"])[np.arange(len(frame)) % 3]
    frame["depth"] = np.exp(np.arange(len(frame)) % 5)
    given = ["age in years", "ward", "clinic"]
    table = from_frame(frame, covariates=given, size_factor="depth", verbose=False)
    assert set(table.schema.columns) == set(TYPES)
    assert list(table.schema.covariates) == [*given, "depth"]
    table.schema.save(tmp_path / "schema.json")
    saved = json.loads((tmp_path / "schema.json").read_text())
    roles = {entry["name"]: entry["role"] for entry in saved["columns"] if "role" in entry}
    assert roles == dict.fromkeys(given, "covariate") | {"depth": "size_factor"}
    assert Schema.load(tmp_path / "schema.json") == table.schema
    x = table.batch["x"]
    assert set(x) == {"table", "age_in_years", "ward", "clinic", "depth"}
    assert set(table.batch["mask"]) == {"table"}
    assert x["age_in_years"].std() == pytest.approx(1) and set(x["clinic"]) == {0, 1, 2}
    assert np.log(x["depth"]).mean() == pytest.approx(0, abs=1e-6)
    model = MVAE(table.modalities(), 2, covariates=table.covariates())
    assert model.modalities[0].size_factor == "depth"
    assert np.isfinite(model.elbo(table.batch, seed=1).loss)
    filled = model.impute(table, num_samples=3).filled
    assert not filled[list(TYPES)].isna().any(axis=None)
    assert (filled["clinic"] == frame["clinic"]).all()
    rows = generate_rows(model, table.schema, {n: frame[n].iloc[0] for n in [*given, "depth"]}, 4)
    assert (rows["ward"] == "west").all() and len(rows) == 4
    with pytest.raises(UserError, match="'depth' is a covariate: give its value"):
        generate_rows(model, table.schema, {n: frame[n].iloc[0] for n in given}, 4)


def test_a_schema_names_covariates_and_gaps_in_them_are_refused(tmp_path):
    frame = make_frame()
    table = from_frame(frame, modalities={"a": ["weight", "crp"], "b": ["site"]}, verbose=False)
    table.schema.save(tmp_path / "schema.json")
    saved = json.loads((tmp_path / "schema.json").read_text())
    for entry in saved["columns"]:
        if entry["name"] == "site":
            entry["role"] = "covariate"  # all that a user writes
    (tmp_path / "schema.json").write_text(json.dumps(saved))
    schema = Schema.load(tmp_path / "schema.json")
    assert set(schema.modalities) == {"a"} and list(schema.covariates) == ["site"]
    row = int(np.argmax(frame["site"].isna()))
    with pytest.raises(UserError, match=f"covariate 'site' is missing in row 'p{row}'"):
        from_frame(frame, schema)
    with pytest.raises(UserError, match="'mars' in row 'p0', which is none of .*; correct it$"):
        from_frame(frame.assign(site="mars"), schema)
    with pytest.raises(UserError, match="is not in the table"):
        from_frame(frame.drop(columns="site"), schema)
    for role, message in [("colour", "role 'colour'"), ("size_factor", "holds classes")]:
        saved["columns"][-1]["role"] = role
        (tmp_path / "schema.json").write_text(json.dumps(saved))
        with pytest.raises(UserError, match=message):
            Schema.load(tmp_path / "schema.json")
    with pytest.raises(UserError, match="no column 'colour'"):
        from_frame(frame, covariates=["colour"])
    with pytest.raises(UserError, match="is no covariate"):
        from_frame(frame.assign(same=1), covariates=["same"])
    sizes = frame.assign(depth=np.where(np.arange(len(frame)) == 2, 0, np.arange(len(frame)) + 1))
    with pytest.raises(UserError, match="size factor 'depth' is 0 in row 'p2'"):
        from_frame(sizes, size_factor="depth", types={"depth": "count"}, verbose=False)
