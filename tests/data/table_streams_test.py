"""Tables read in chunks: equal types in all chunks, and files that are written atomically."""

import pytest

from tf_mvae import UserError
from tf_mvae.data.table_files import write_table
from tf_mvae.data.table_streams import open_table, writing_table

pd = pytest.importorskip("pandas")


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
    stream = open_table(path, 2, whole=["stage"])
    parts = list(stream.parts())
    assert stream.num_rows == 6 and [len(part) for part in parts] == [2, 2, 2]
    joined = pd.concat(parts)
    assert list(joined.index) == list(range(6))
    pd.testing.assert_frame_equal(plain(joined), plain(frame))
    for name in ("whole", "mixed", "stage", "visits"):
        assert len({str(part[name].dtype) for part in parts}) == 1
    assert [part["visits"].dtype for part in parts] == ["float64"] * 3
    assert parts[0]["stage"].dtype == ("Int64" if ending == "parquet" else "float64")


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
