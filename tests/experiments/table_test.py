"""The whole path of a table without code: train, evaluate, impute, export, inspect."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tests.data.tables_test import GRADES
from tests.experiments.table_commands import command, impute
from tf_mvae import UserError
from tf_mvae.data import Schema, Table, from_frame
from tf_mvae.data.table_files import read_table, write_table
from tf_mvae.evaluation import Settings
from tf_mvae.evaluation.imputation import analyze, held_out
from tf_mvae.evaluation.imputation_baselines import baseline_estimates
from tf_mvae.experiments.table import load_table
from tf_mvae.serving.examples import example_inputs
from tf_mvae.training import RunConfig, load_run, train
from tf_mvae.training.build import build_model
from tf_mvae.training.incomplete import incomplete_split
from tf_mvae.training.splits import load_split

pd = pytest.importorskip("pandas")


def read_text(path):
    """Returns a CSV file's cells as they are written."""
    return pd.read_csv(path, dtype=str, na_filter=False)


def make_table(path, rows=80):
    rng = np.random.default_rng(0)
    z = rng.normal(size=rows)
    frame = pd.DataFrame(
        {
            "a": 10 + 2 * z + 0.1 * rng.normal(size=rows),
            "b": -z + 0.1 * rng.normal(size=rows),
            "grade": np.array(GRADES)[np.digitize(z, [-0.5, 0.5])],
        }
    )
    frame = frame.mask(rng.uniform(size=frame.shape) < 0.1)
    write_table(frame, path)
    return frame


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    make_table(folder / "data.csv")
    config = RunConfig(
        "table", table=str(folder / "data.csv"), latent_dim=2, epochs=2, annealing_epochs=1,
        batch_size=8, jit_compile=False,
    )  # fmt: skip
    train(config, folder / "run")
    return folder


def test_a_run_keeps_its_schema_and_exports(finished):
    run = load_run(finished / "run")
    kept = Schema.load(finished / "run/assets/schema.json")
    assert kept == run.table("train").schema == run.table("test").schema
    assert len(run.table("train").frame) + 2 * len(run.table("test").frame) == 80
    loaded = keras.models.load_model(finished / "run/model.keras")
    batch = run.table("test").batch
    tiny.assert_close(loaded.posterior(**batch).mean(), run.model.posterior(**batch).mean())
    assert Schema.of_modalities(loaded.modalities) == kept
    frame = run.table("test").frame
    found, expected = (m.impute(d, 3) for m, d in ((loaded, frame), (run.model, run.table("test"))))
    pd.testing.assert_frame_equal(found.filled, expected.filled)
    described = json.loads((finished / "run/saved_model/assets.extra/tf_mvae.json").read_text())
    served = tf.saved_model.load(str(finished / "run/saved_model"))
    given = {k: tf.constant(v) for k, v in example_inputs(described, "encode", 3).items()}
    assert served.signatures["encode"](**given)["loc"].shape == (3, 2)


def test_the_analysis_compares_with_other_imputers(finished):
    pytest.importorskip("sklearn")
    results = analyze(load_run(finished / "run"), Settings(num_samples=10))
    assert {"error of numbers, model", "error of numbers, KNNImputer"} <= set(results)
    assert results["error of numbers, IterativeImputer"]["value"] < 0.7  # columns that agree
    assert 0.5 < results["error of numbers, mean or mode"]["value"] < 2
    for level in (50, 90):
        found = results[f"numbers inside the {level}% interval, model"]
        assert 0 <= found["value"] <= 1 and found["examples"] > 20


def test_cells_are_held_out_and_rows_keep_one(finished):
    table = load_table("train", table=str(finished / "data.csv"))
    holes, taken = held_out(table, 0.9, seed=1)
    assert (holes.frame.notna().sum(axis=1) > 0)[table.frame.notna().any(axis=1)].all()
    assert not (taken & table.frame.isna()).any(axis=None)
    assert holes.frame[taken].isna().all(axis=None)
    observed = table.frame.notna().sum().sum()
    assert 0.4 < taken.sum().sum() / observed < 0.9


def test_commands_fill_a_table_and_infer_a_schema(finished):
    output, details = finished / "filled.csv", finished / "details.csv"
    done = impute(finished, f"--output={output}", f"--details={details}", "--num_samples=5")
    assert done.returncode == 0, done.stderr
    frame, filled = read_table(finished / "data.csv"), read_table(output)
    assert not filled.isna().any(axis=None) and list(filled.columns) == list(frame.columns)
    before, after = (read_text(path) for path in (finished / "data.csv", output))
    assert ((after == before) | frame.isna()).all(axis=None)
    assert impute(finished, f"--output={finished / 'filled.parquet'}").returncode == 0
    typed = read_table(finished / "filled.parquet")
    assert typed["a"].dtype.kind == "f" and typed["grade"].dtype == frame["grade"].dtype
    assert ((typed == frame) | frame.isna()).all(axis=None) and not typed.isna().any(axis=None)
    gaps = int(frame.isna().sum().sum())
    assert len(read_table(details)) == gaps and f"{gaps} of 240 cells" in done.stdout
    for flags, message in (
        ([f"--output={output}"], "is there already; name another file, or --overwrite"),
        ([f"--output={finished / 'data.csv'}", "--overwrite"], "is --input"),
        ([f"--output={finished / 'a.csv'}", f"--details={finished / 'a.csv'}"], "is --output"),
        ([f"--output={finished / 'a.csv'}", "--details=b.parquet"], "is a CSV file"),
    ):
        again = impute(finished, *flags)
        assert again.returncode == 2 and message in again.stderr, again.stderr


def test_an_unknown_class_names_its_row_in_the_file_and_can_be_missing(finished, tmp_path):
    text = read_text(finished / "data.csv")
    frame = pd.concat([text] * 15, ignore_index=True)
    frame.loc[1130, "grade"] = "top"
    frame.to_csv(tmp_path / "long.csv", index=False)
    flags = f"--run_dir={finished / 'run'}", f"--input={tmp_path / 'long.csv'}", "--num_samples=2"
    output = f"--output={tmp_path / 'out.csv'}"
    refused = command("impute", *flags, output)
    assert refused.returncode == 2 and not (tmp_path / "out.csv").exists()
    line = refused.stderr.strip().splitlines()[-1]
    assert "'grade' holds 'top' in row 1130" in line
    assert line.endswith("or give --unknown_classes=missing")
    done = command("impute", *flags, output, "--unknown_classes=missing")
    assert done.returncode == 0 and "1 cells hold unknown classes" in done.stdout, done.stderr
    after = read_text(tmp_path / "out.csv")
    assert ((after == frame) | (frame == "")).all(axis=None) and not (after == "").any(axis=None)


def test_generated_rows_are_replaced_with_overwrite_only(finished):
    flags = f"--run_dir={finished / 'run'}", "--num_samples=2", "--condition=grade=low"
    path = finished / "run/generated/grade=low.csv"
    path.parent.mkdir()
    path.write_text("rows of mine")
    again = command("generate", *flags)
    message = "grade=low.csv is there already; name another file, or --overwrite"
    assert again.returncode == 2 and message in again.stderr, again.stderr
    assert path.read_text() == "rows of mine"
    replaced = command("generate", *flags, "--overwrite")
    assert replaced.returncode == 0, replaced.stderr
    assert list(read_table(path)["grade"]) == ["low", "low"]


def test_a_table_in_parts_is_filled_as_the_whole_is(finished):
    run = load_run(finished / "run")
    frame = pd.concat([read_table(finished / "data.csv")] * 4, ignore_index=True)
    schema = run.table("train").schema
    whole = run.model.impute(Table(frame, schema), 3, seed=1)
    parts = [
        run.model.impute(Table(frame.iloc[start : start + 200], schema), 3, seed=1, first_row=start)
        for start in (0, 200)
    ]
    pd.testing.assert_frame_equal(pd.concat([p.filled for p in parts]), whole.filled)
    assert not whole.mean.iloc[:80].equals(whole.mean.iloc[80:160].set_axis(range(80)))


def test_inspect_table_prints_and_writes_a_schema(finished):
    done = command("inspect_table", str(finished / "data.csv"), "--modalities=types")
    assert done.returncode == 0, done.stderr
    printed = done.stdout
    assert "a: real, 1" in printed and "grade: categorical (high, low, mid)" in printed
    frame = read_table(finished / "data.csv")
    assert from_frame(frame, f"{finished / 'data.csv'}.schema.json").schema.columns["b"].scale > 0


def test_splits_and_mistakes(finished, tmp_path):
    frame = make_table(tmp_path / "a.csv", 12)
    frame["split"] = ["train"] * 6 + ["validation"] * 2 + ["test"] * 4
    write_table(frame, tmp_path / "b.csv")
    assert len(load_table("test", table=str(tmp_path / "b.csv")).frame) == 4
    with pytest.raises(UserError, match="needs --table"):
        load_table("train")
    with pytest.raises(UserError, match="cannot be read"):
        load_table("train", table="none.csv")
    with pytest.raises(UserError, match="none of"):
        load_table("all", table=str(tmp_path / "a.csv"))


def test_a_class_of_test_rows_alone_is_known_and_units_are_of_the_training_rows(tmp_path):
    rows = 40
    split = ["train"] * 30 + ["validation"] * 5 + ["test"] * 5
    kind = ["ab"[i % 2] for i in range(rows - 1)] + ["c"]
    size = [float(i % 7) + 0.5 - (i % 3) for i in range(30)] + [1000.5] * 10
    frame = pd.DataFrame({"size": size, "kind": kind, "id": range(1, rows + 1), "split": split})
    frame.to_csv(tmp_path / "t.csv", index=False)
    schema = load_table("test", str(tmp_path / "t.csv")).schema
    assert schema.columns["kind"].categories == ("a", "b", "c")
    assert "id" not in schema.columns
    assert schema.columns["size"].loc == pytest.approx(np.mean(size[:30]))


def test_the_mean_that_the_model_is_compared_with_is_the_mean():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"count": rng.poisson(rng.gamma(0.4, 20, 200)), "x": rng.normal(size=200)})
    train = from_frame(frame, verbose=False)
    assert train.schema.columns["count"].type == "count"
    there = np.arange(200)[:, np.newaxis] % 2 == np.zeros(2)
    holes = Table(frame.astype(float).where(there), train.schema)
    mean = baseline_estimates(train, holes, Settings())["mean or mode"]
    np.testing.assert_allclose(mean["count"][1::2], frame["count"].mean(), rtol=1e-5)


def test_a_schema_with_covariates_makes_the_model_and_its_data(tmp_path):
    frame = make_table(tmp_path / "data.csv")
    frame["site"] = np.array(["x", "y", "z"])[np.arange(len(frame)) % 3]
    write_table(frame, tmp_path / "data.csv")
    schema = str(tmp_path / "schema.json")
    groups = {"numbers": ["a", "b"], "grade": ["grade"]}
    table = from_frame(frame, modalities=groups, covariates=["site"], verbose=False)
    table.schema.save(schema)
    config = RunConfig(
        "table", model="vae", table=str(tmp_path / "data.csv"), schema=schema, latent_dim=2,
        batch_size=8, jit_compile=False, missing_rate={"numbers": 0.3},
    )  # fmt: skip
    model = build_model(config, steps_per_epoch=1)
    assert [modality.name for modality in model.modalities] == ["numbers"]
    assert [covariate.name for covariate in model.covariates] == ["site"]
    split = load_split(config, "train")
    assert set(split.dataset.element_spec["x"]) == {"numbers", "site"}
    assert set(split.presence) == {"numbers"}
    split = incomplete_split(config.replace(model="mvae"), "train")
    batch = next(split.dataset.batch(split.num_examples).as_numpy_iterator())
    assert (batch["mask"]["site"] == 1).all()  # or not there: a covariate is never missing
    assert 0.1 < (batch["mask"]["numbers"].reshape(len(frame) - 24, -1) == 0).mean() < 0.6
    with pytest.raises(UserError, match="names 'site'; the modalities are"):
        incomplete_split(config.replace(missing_rate={"site": 0.5}), "train")
