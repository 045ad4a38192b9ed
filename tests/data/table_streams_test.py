"""Tables read in chunks: equal types in all chunks, and files that are written atomically."""

import pytest

from tf_mvae import UserError
from tf_mvae.data.table_files import write_table
from tf_mvae.data.table_streams import open_table, writing_table

pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")
pytest.importorskip("pyarrow.parquet")


def make_frame():
    return pd.DataFrame(
        {
            "whole": [1, 2, 3, 4, None, 6],
            "flag": [True, None, False, True, True, True],
            "text": [None, None, "x", "y", "z", "w"],
            "mixed": ["1", "2", "3", "a", "b", "c"],
            "stage": pd.array([1, 2, None, 4, 5, 6], "Int64"),
            "visits": pd.array([1, 2, None, 4, 5, 6], "Int64"),
        }
    )


def plain(frame):
    """Returns a frame of objects in which every missing value is None."""
    objects = frame.astype(object)
    return objects.where(frame.notna(), None)


@pytest.mark.parametrize("ending", ["csv", "tsv.gz", "parquet"])
def test_a_column_has_one_type_in_all_parts_and_nothing_is_lost(tmp_path, ending):
    frame, path = make_frame(), tmp_path / f"a.{ending}"
    if ending == "tsv.gz":
        frame.to_csv(path, sep="\t", index=False)
    else:
        write_table(frame, path)
    stream = open_table(path, 2)
    parts = list(stream.parts())
    assert stream.num_rows == 6 and [len(part) for part in parts] == [2, 2, 2]
    joined = pd.concat(parts)
    assert list(joined.index) == list(range(6))
    pd.testing.assert_frame_equal(plain(joined), plain(frame))
    for name in ("whole", "mixed", "stage", "visits"):
        assert len({str(part[name].dtype) for part in parts}) == 1
    assert parts[0]["stage"].dtype == parts[0]["visits"].dtype == "Int64"


@pytest.mark.parametrize("place", ["a.csv", "a.parquet", "cohort"])
def test_integers_with_gaps_keep_all_their_digits(tmp_path, place):
    integers = [2**60 + 1, None, 2**60 + 3, -7, None, 5]
    unsigned = [2**63 + 1, 2, None, 3, 4, 5]
    real = [1.0, None, 2.5, 1.0, 1.0, 1.0]
    if place == "a.parquet":
        types = {"signed": pa.int64(), "unsigned": pa.uint64(), "real": pa.float64()}
        columns = zip((integers, unsigned, real), types.values(), strict=True)
        table = pa.table([pa.array(*pair) for pair in columns], list(types))
        pa.parquet.write_table(table, tmp_path / place)  # without pandas' own types
    else:
        (tmp_path / "cohort").mkdir()
        rows = zip("abcdef", integers, unsigned, real, strict=True)
        lines = [",".join("" if v is None else str(v) for v in row) for row in rows]
        path = tmp_path / ("cohort/one.csv" if place == "cohort" else place)
        path.write_text("\n".join(["key,signed,unsigned,real", *lines]) + "\n")
        (tmp_path / "cohort/two.csv").write_text("key,more\na,1\ng,2\n")
    joined = pd.concat(open_table(tmp_path / place, 2).parts())[:6]
    names = ("signed", "unsigned", "real")
    assert [str(joined[name].dtype) for name in names] == ["Int64", "UInt64", "float64"]
    assert [None if pd.isna(v) else v for v in joined["signed"]] == integers
    assert joined["unsigned"].iloc[0] == 2**63 + 1
    if place == "cohort":
        assert str(pd.concat(open_table(tmp_path / place, 2).parts())["more"].dtype) == "Int64"


def test_rows_of_a_file_with_an_index_are_numbered_through_all_parts(tmp_path):
    frame = make_frame().drop(columns="flag").set_index(pd.Index(range(10, 16), name="key"))
    write_table(frame, tmp_path / "a.parquet")
    joined = pd.concat(open_table(tmp_path / "a.parquet", 2).parts())
    assert list(joined.index) == list(range(6)) and list(joined["key"]) == list(range(10, 16))


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_what_is_written_in_parts_is_the_whole(tmp_path, ending):
    frame, path = make_frame().drop(columns="flag"), tmp_path / f"new/a.{ending}"
    with writing_table(path) as write:
        for start in range(0, 6, 2):
            write(frame.iloc[start : start + 2])
    pd.testing.assert_frame_equal(plain(pd.concat(open_table(path, 4).parts())), plain(frame))


def test_a_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), writing_table(path) as write:
        write(make_frame())
        _ = 1 / 0
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    with pytest.raises(UserError, match="has the columns"), writing_table(path) as write:
        write(make_frame())
        write(make_frame()[["text"]])


def test_parquet_has_one_type_for_a_column(tmp_path):
    frame = make_frame()
    frame["mixed"] = pd.Series(["a", *range(1, len(frame))], frame.index, dtype=object)
    with (
        pytest.raises(UserError, match="changes its type"),
        writing_table(tmp_path / "a.pq") as write,
    ):
        write(frame)
    assert not list(tmp_path.iterdir())


def test_files_that_do_not_fit_are_named(tmp_path):
    (tmp_path / "empty.csv").write_text("a,b\n")
    for path, message in (("empty.csv", "has no rows"), ("none.csv", "cannot be read")):
        with pytest.raises(UserError, match=message):
            open_table(tmp_path / path, 2)
