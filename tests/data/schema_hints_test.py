"""Hints at columns whose type may be another."""

import numpy as np
import pytest

from tf_mvae.data import Schema, from_frame
from tf_mvae.data.schema_hints import type_hints, unit_hints
from tf_mvae.data.schema_inference import infer_schema
from tf_mvae.data.table_files import columns_of_codes
from tf_mvae.experiments.table import load_table

pd = pytest.importorskip("pandas")

ROWS = 60


def make_frame(**columns):
    rng = np.random.default_rng(0)
    return pd.DataFrame({"size": rng.normal(size=ROWS), **columns})


def hints_of(codes=(), **columns):
    frame = make_frame(**columns)
    return type_hints(infer_schema(frame)[0], frame, codes)


EACH = np.random.default_rng(1).permutation(10 * ROWS)[:ROWS]
SOME = EACH // 20


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"price": ["3,14", "2", None] * 20}, ["'price'", "a comma, such as '2'", "decimal point"]),
        ({"ref": EACH}, ["'ref'", "another integer in every row", "remove the column"]),
        ({"patientId": SOME}, ["'patientId' holds integers", "put a letter before each"]),
        ({"ZIP code": 10000 + SOME}, ["'ZIP code' holds integers"]),
    ],
)
def test_a_doubtful_type_is_one_line_with_a_fix(columns, words):
    (hint,) = hints_of(**columns)
    assert "\n" not in hint
    for word in words:
        assert word in hint


@pytest.mark.parametrize(
    "columns",
    [
        {"visits": SOME},
        {"kind": ["a,b", "1,2", "c"] * 20},
        {"id": np.arange(ROWS)},  # excluded
        {"paid": SOME, "code": ["a", "b", "c"] * 20, "id_level": EACH + 0.5},
        {f"gene{i}": np.random.default_rng(i).permutation(10_000)[:ROWS] for i in range(9)},
    ],
)
def test_usual_columns_have_no_hint(columns):
    assert not hints_of(**columns)


def test_integers_that_begin_with_zeros_are_found_in_text_files(tmp_path):
    lines = ["region,visits,none,share,label"]
    lines += [f"{v % 400:03},{v},,0.{v},{'0' * (v % 2)}x" for v in SOME]
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "t.csv", tmp_path / "folder/t.csv"):
        path.write_text("\n".join(lines) + "\n")
    make_frame(code=["007"] * ROWS).to_parquet(tmp_path / "folder/typed.parquet")
    for path in (tmp_path / "t.csv", tmp_path / "folder"):
        assert columns_of_codes(path) == ["region"]
    assert columns_of_codes("https://example.org/t.csv") == []
    (hint,) = hints_of(["region"], region=SOME)
    assert "'region' holds numbers that begin with 0, as 007" in hint


def test_a_frame_is_printed_with_hints(capsys):
    from_frame(make_frame(price=["3,14", "2,5", "1"] * 20))
    assert "hint: column 'price' holds numbers with a comma" in capsys.readouterr().out


def with_type(schema, name, kind):
    config = schema.columns[name].to_config() | {"type": kind}
    columns = {**schema.columns, name: type(schema.columns[name]).from_config(config)}
    return Schema(columns, schema.modalities)


@pytest.mark.parametrize(("old", "new"), [("count", "real"), ("real", "positive")])
def test_a_type_that_was_changed_without_its_unit_is_named_with_the_unit(old, new):
    frame = make_frame(dose=1000.0 + EACH)
    schema = infer_schema(frame, types={"dose": old})[0]
    right = infer_schema(frame, types={"dose": new})[0].columns["dose"]
    assert not unit_hints(schema, frame)
    (hint,) = unit_hints(with_type(schema, "dose", new), frame)
    assert f"'dose' is {new}" in hint
    assert f'"loc": {right.loc:.6g}, "scale": {right.scale:.6g}' in hint


def test_a_training_warns_of_both(tmp_path, caplog):
    frame = make_frame(region=[f"{v:03}" for v in SOME])
    frame.to_csv(tmp_path / "t.csv", index=False)
    inferred = load_table("train", str(tmp_path / "t.csv")).schema
    assert "'region' holds numbers that begin with 0" in caplog.text
    caplog.clear()
    with_type(inferred, "region", "real").save(tmp_path / "schema.json")
    load_table("test", str(tmp_path / "t.csv"), str(tmp_path / "schema.json"))
    assert not caplog.text
    load_table("train", str(tmp_path / "t.csv"), str(tmp_path / "schema.json"))
    assert "'region' is real, and the unit in the schema is not" in caplog.text
