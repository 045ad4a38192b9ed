"""Tables of users that are not as a run expects them."""

import numpy as np
import pytest

from tests.experiments.table_commands import command
from tests.experiments.table_test import make_table
from tf_mvae import UserError
from tf_mvae.data import Schema
from tf_mvae.data.table_files import write_table
from tf_mvae.data.tables import without_split
from tf_mvae.experiments.table import load_table
from tf_mvae.training import RunConfig, assets
from tf_mvae.training.run_directory import RunDirectory

pd = pytest.importorskip("pandas")


@pytest.mark.parametrize("names", [("train", "test"), ("train", "val", "test"), ("train",)])
def test_a_split_of_other_names_is_not_data(names):
    frame = pd.DataFrame({"a": range(6), "split": (names * 6)[:6]})
    with pytest.raises(UserError, match="'split' holds .*; write train, validation and test"):
        without_split(frame)
    assert without_split(frame.assign(split=range(6)))[1] is None  # something else


def test_a_column_without_a_value_to_learn_from_is_excluded(tmp_path, caplog):
    frame = make_table(tmp_path / "t.csv", 40)
    frame["split"] = ["train"] * 30 + ["validation"] * 5 + ["test"] * 5
    frame["note"] = [f"note {row}" for row in range(40)]
    frame["late"] = [np.nan] * 30 + [1.5, 2.5, 3.5, 4.5, 5.5, 0.5, 1.25, 2.25, 3.25, 4.25]
    write_table(frame, tmp_path / "t.csv")
    schema = load_table("train", str(tmp_path / "t.csv")).schema
    assert list(schema.columns) == ["a", "b", "grade"]
    assert "column 'late' is excluded: it is empty in the training rows" in caplog.text
    assert "column 'note' is excluded: it is text of 40 different values" in caplog.text


@pytest.fixture
def prepared(tmp_path):
    """The configuration of a run with its assets, of which nothing else is there."""
    make_table(tmp_path / "t.csv", 40)
    schema = load_table("train", str(tmp_path / "t.csv")).schema
    schema.save(tmp_path / "s.json")
    places = {"table": str(tmp_path / "t.csv"), "schema": str(tmp_path / "s.json")}
    config = RunConfig("table", latent_dim=2, batch_size=8, **places)
    (tmp_path / "run").mkdir()
    with assets.run_assets(config, RunDirectory(tmp_path / "run")) as made:
        assets.keep_assets(made, RunDirectory(tmp_path / "run"))
    return config


def test_a_corrected_schema_is_used_until_a_run_has_trained(prepared, tmp_path):
    directory = RunDirectory(tmp_path / "run")
    text = (tmp_path / "s.json").read_text()
    (tmp_path / "s.json").write_text('"positive"'.join(text.rsplit('"real"', 1)))
    with (
        pytest.raises(UserError, match="is positive and holds"),
        assets.run_assets(prepared, directory),
    ):
        pass
    text = text.replace('"mean": 1.0', '"mean": 3.0', 1)
    (tmp_path / "s.json").write_text(text)
    corrected = Schema.load(tmp_path / "s.json")
    with assets.run_assets(prepared, directory) as made:
        assets.keep_assets(made, directory)
    assert Schema.load(directory.assets / "schema.json") == corrected
    (directory.checkpoints / "step-00000001").mkdir(parents=True)
    with assets.run_assets(prepared, directory) as made:
        assert made.assets_dir == str(directory.assets)
    (tmp_path / "s.json").write_text(text.replace('"mean": 3.0', '"mean": 2.0'))
    with pytest.raises(UserError, match=r"s.json is not the schema that the run in .* has been"):
        with assets.run_assets(prepared, directory):
            pass


def test_a_table_of_more_rows_than_a_run_began_with_is_refused(prepared, tmp_path):
    options = {"table": prepared.table, "assets_dir": str(tmp_path / "run" / "assets")}
    assert len(load_table("train", **options).frame) == 28
    make_table(tmp_path / "t.csv", 45)
    with pytest.raises(UserError, match="has 45 rows, and had 40 when the run began"):
        load_table("train", **options)
    (tmp_path / "run" / "assets" / "rows.json").unlink()  # a run of an earlier version
    load_table("train", **options)


def test_commands_replace_no_file_of_the_user(tmp_path):
    make_table(tmp_path / "t.csv", 20)
    table = (tmp_path / "t.csv").read_bytes()
    for flags in ([], ["--overwrite"]):
        output = f"--output={tmp_path / 't.csv'}"
        done = command("inspect_table", tmp_path / "t.csv", output, *flags)
        assert done.returncode == 2 and "would replace the table; name another" in done.stderr
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "t.csv").write_bytes(
        b"id,a\n" + b"".join(b"%d,.%d\n" % (i, i) for i in range(9))
    )
    done = command("inspect_table", f"{tmp_path / 'folder'}/")
    assert done.returncode == 0 and (tmp_path / "folder.schema.json").exists(), done.stderr
    for _ in range(2):  # the same schema is written again
        assert command("inspect_table", tmp_path / "t.csv").returncode == 0
    path = tmp_path / "t.csv.schema.json"
    path.write_text(path.read_text().replace('"mean": 1.0', '"mean": 2.0', 1))
    done = command("inspect_table", tmp_path / "t.csv")
    assert done.returncode == 2 and "t.csv.schema.json is there already" in done.stderr
    assert '"mean": 2.0' in path.read_text() and (tmp_path / "t.csv").read_bytes() == table
