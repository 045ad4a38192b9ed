"""A table with survival times from the command line: inspect, train, impute, generate, export."""

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.experiments.table_commands import command, impute
from tf_mvae.data import Schema
from tf_mvae.data.table_files import read_table, write_table
from tf_mvae.serving.examples import example_inputs
from tf_mvae.training import RunConfig, load_run, train

pd = pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("survival")
    rng = np.random.default_rng(0)
    time, end = 300 * rng.weibull(1.5, 60), rng.uniform(50, 600, 60)
    frame = pd.DataFrame({"age": rng.normal(60, 9, 60), "survival_days": np.minimum(time, end)})
    frame["died"] = pd.array((time <= end).astype(int), "Int64")
    frame.loc[::7, "survival_days"] = np.nan
    frame.loc[3::11, "died"] = pd.NA
    write_table(frame, folder / "data.csv")
    done = command("inspect_table", folder / "data.csv")
    assert "if survival_days is the time until an event" in done.stdout, done.stderr
    pair = "--survival=survival_days=died"
    done = command("inspect_table", folder / "data.csv", pair)
    assert done.returncode == 2 and "data.csv.schema.json is there already" in done.stderr
    done = command("inspect_table", folder / "data.csv", pair, "--overwrite")
    assert "survival_days: survival (events died" in done.stdout, done.stderr
    config = RunConfig(
        "table", table=str(folder / "data.csv"), schema=f"{folder / 'data.csv'}.schema.json",
        latent_dim=2, epochs=2, annealing_epochs=1, batch_size=8, jit_compile=False,
    )  # fmt: skip
    train(config, folder / "run")
    return folder


def test_impute_keeps_censored_rows_and_fills_gaps_with_times_of_events(finished):
    output, details = finished / "filled.csv", finished / "details.csv"
    done = impute(finished, f"--output={output}", f"--details={details}", "--num_samples=20")
    assert done.returncode == 0, done.stderr
    frame, filled = read_table(finished / "data.csv"), read_table(output)
    gaps = (frame["survival_days"].isna() | frame["died"].isna()).to_numpy()
    pd.testing.assert_frame_equal(filled[~gaps], frame[~gaps], check_dtype=False)
    assert 10 < gaps.sum() < 20 and (filled["died"][gaps] == 1).all()
    assert (filled["survival_days"][gaps] > 10).all()
    listed = read_table(details)
    assert len(listed) == gaps.sum() and set(listed["column"]) == {"survival_days"}
    assert (listed["quantile_0.05"] < listed["quantile_0.95"]).all()
    assert f"{gaps.sum()} of 120 cells" in done.stdout


def test_generate_gives_times_of_events_and_takes_pairs_without_the_table(finished, tmp_path):
    folder = shutil.copytree(finished / "run", tmp_path / "run")
    text = (folder / "flags.cfg").read_text()
    (folder / "flags.cfg").write_text(text.replace("data.csv", "gone.csv"))
    pair = ("--condition=survival_days=250", "--condition=died=0")
    done = command("generate", f"--run_dir={folder}", "--num_samples=3", *pair)
    assert done.returncode == 0, done.stderr
    rows = read_table(folder / "generated" / "survival_days=250_died=0.csv")
    assert list(rows["died"]) == [0] * 3 and list(rows["survival_days"]) == [250] * 3


def test_a_run_and_its_exports_have_the_pairs_of_the_schema(finished):
    run = load_run(finished / "run")
    kept = Schema.load(finished / "run/assets/schema.json")
    assert kept.survival_column("survival_days").event == "died"
    assert Schema.of_modalities(run.model.modalities) == kept
    table = run.table("test")
    loaded = keras.models.load_model(finished / "run/model.keras")
    found, expected = (
        loaded.impute(table.frame, 20, seed=[1, 2]),
        run.model.impute(table, 20, seed=[1, 2]),
    )
    pd.testing.assert_frame_equal(found.filled, expected.filled)
    described = json.loads((finished / "run/saved_model/assets.extra/tf_mvae.json").read_text())
    served = tf.saved_model.load(str(finished / "run/saved_model")).signatures["impute"]
    given = {k: tf.constant(v) for k, v in example_inputs(described, "impute", 3).items()}
    batch, rows = table.batch, len(table.frame)
    for name in batch["x"]:
        given |= {name: tf.constant(batch["x"][name])}
        given |= {f"{name}_mask": tf.constant(batch["mask"][name])}
    given |= {"num_samples": tf.constant(20), "seed": tf.constant([1, 2])}
    answer = served(**given)
    filled = answer["filled_survival_days"].numpy()
    there = batch["mask"]["survival_days"] > 0
    np.testing.assert_array_equal(filled[there], batch["x"]["survival_days"][there])
    assert filled.shape == (rows, 2) and (filled[~there, 1] == 1).all()
    days = filled[:, 0] * kept.columns["survival_days"].scale
    np.testing.assert_allclose(days, found.filled["survival_days"], rtol=1e-4)


def test_mistakes_of_flags_and_files_are_one_clear_line(finished, tmp_path):
    done = command("inspect_table", finished / "data.csv", "--survival=survival_days")
    assert done.returncode == 2 and "written TIME=EVENT" in done.stderr.splitlines()[-1]
    frame = read_table(finished / "data.csv").assign(died=2)
    write_table(frame, tmp_path / "bad.csv")
    done = command(
        "impute", f"--run_dir={finished / 'run'}", f"--input={tmp_path / 'bad.csv'}",
        f"--output={tmp_path / 'filled.csv'}",
    )  # fmt: skip
    assert done.returncode == 2 and "'died' holds 2 in row 0" in done.stderr.splitlines()[-1]
