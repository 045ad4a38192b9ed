"""Tables as files: what is read is what the file says, and what is written can be read."""

import gzip
import os

import numpy as np
import pytest

from tf_mvae import UserError
from tf_mvae.data.table_files import read_table, write_table
from tf_mvae.data.table_streams import open_table, writing_table

pd = pytest.importorskip("pandas")


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n0.5,1,\n0.7,2,\n",
        '"a","b"\n"row 1",0.5,1\n"row 2",0.7,2\n',
        "a,b\n0,0.5,\n1,0.7,\n2,0.9,\n",
        "a,b\n1,0.5,\n2,0.7,\n3,0.9,\n",
    ],
    ids=["separators at the ends of rows", "names of rows without a name", "from 0", "from 1"],
)
def test_rows_of_more_cells_than_the_header_has_are_refused(tmp_path, text):
    """Pandas would take the first cell for a name, and each other one for its left neighbour's."""
    path = tmp_path / "data.csv"
    path.write_text(text)
    for read in (read_table, lambda path: open_table(path, 1)):
        with pytest.raises(UserError, match=r"data.csv: its rows have more cells than its header"):
            read(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.csv", "a;b\n1,5;x\n2,5;y\n"), ("a.csv", "a\tb\n1\t2\n"), ("a.tsv", "a,b\n1,2\n")],
)
def test_cells_that_are_separated_otherwise_are_refused(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    for read in (read_table, lambda path: open_table(path, 1)):
        with pytest.raises(UserError, match=f"{name}: its header is one name, 'a.*not by"):
            read(path)


def test_a_pipe_is_refused(tmp_path):
    """Its header is looked at a second time; the second reading would wait for ever."""
    path = tmp_path / "pipe.csv"
    os.mkfifo(path)
    for read in (read_table, lambda path: open_table(path, 1)):
        with pytest.raises(UserError, match="pipe.csv can be read once only"):
            read(path)


def test_a_file_that_was_cut_short_is_one_line(tmp_path):
    whole = gzip.compress("\n".join(["a,b", *(f"{i},{i * i}" for i in range(2000))]).encode())
    for name, data in (("cut", whole[:900]), ("damaged", whole[:300] + b"\0" * 40 + whole[340:])):
        path = tmp_path / f"{name}.csv.gz"
        path.write_bytes(data)
        with pytest.raises(UserError, match="damaged or cut short|cannot be read"):
            read_table(path)


def test_two_columns_of_one_name_are_refused(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text(",age,,age\n1,2,3,4\n1,2,3,4\n")
    for read in (read_table, lambda path: open_table(path, 1)):
        with pytest.raises(UserError, match="data.csv: two columns have the name 'age'; rename"):
            read(path)
    path.write_text(",age,,age.1\n1,2,3,4\n1,2,3,4\n")
    assert len(read_table(path).columns) == 4


def test_a_column_of_a_long_file_has_one_type(tmp_path):
    codes = [str(code) for code in np.arange(300_000) % 7] + ["unknown"]
    path = tmp_path / "data.csv"
    path.write_text("code\n" + "\n".join(codes) + "\n")
    assert set(read_table(path)["code"]) == {"0", "1", "2", "3", "4", "5", "6", "unknown"}


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.tsv", "t.tsv.gz", "t.parquet"])
def test_what_is_written_can_be_read(tmp_path, name):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"a": [1.5, np.nan], "b": ["x,y", "z\tw"]})
    write_table(frame, tmp_path / name)
    pd.testing.assert_frame_equal(read_table(tmp_path / name), frame)
    with writing_table(tmp_path / f"parts_{name}") as write:
        write(frame)
        write(frame)
    assert len(read_table(tmp_path / f"parts_{name}")) == 4
    if name == "t.tsv.gz":
        assert gzip.decompress((tmp_path / name).read_bytes()).startswith(b"a\tb\n")


@pytest.mark.parametrize("write", [write_table, lambda _, path: writing_table(path).__enter__()])
def test_other_formats_are_refused(tmp_path, write):
    with pytest.raises(UserError, match=r"t\.xlsx names no format of tables .* \.csv, "):
        write(pd.DataFrame({"a": [1]}), tmp_path / "t.xlsx")


def test_text_of_other_kinds_is_named(tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes("größe\n1\n".encode("latin-1"))
    with pytest.raises(UserError, match="its text is not UTF-8"):
        read_table(path)
    path.write_text("a;b\n1;2\n3;4,5\n")
    with pytest.raises(UserError, match="separated by commas, in a .tsv by tabs"):
        read_table(path)


def test_a_file_is_also_given_as_text(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("id,n\n007,\n008,1\n009,NA\n")
    stream = open_table(path, 2)
    first, second = stream.texts()
    assert first.to_dict("list") == {"id": ["007", "008"], "n": ["", "1"]}
    assert second.to_dict("list") == {"id": ["009"], "n": ["NA"]}
    assert [len(part) for part in stream.parts()] == [2, 1]


def write_folder(folder, **texts):
    folder.mkdir()
    for name, text in texts.items():
        (folder / f"{name}.csv").write_text(text)
    return folder


def test_names_that_begin_with_a_zero_are_text_in_all_files_of_a_folder(tmp_path):
    pandas = pytest.importorskip("pandas")
    folder = write_folder(
        tmp_path / "codes", rna="id,a\n007,1\n7,2\n0012,3\n", drugs="id,b\n12,4\n7,5\n007,6\n"
    )
    frame = read_table(folder)
    expected = {"007": (1, 6), "7": (2, 5), "0012": (3, None), "12": (None, 4)}
    for name, (a, b) in expected.items():
        found = frame.loc[name, ["a", "b"]]
        assert [None if pandas.isna(value) else value for value in found] == [a, b], name
    assert len(frame) == 4
    write_table(frame, tmp_path / "joined.csv")
    assert "\n007,6.0,1.0\n" in (tmp_path / "joined.csv").read_text()
    gap = write_folder(tmp_path / "gap", rna="id,a\n007,1\n,2\n", drugs="id,b\n7,5\n8,6\n")
    with pytest.raises(UserError, match="missing or come twice"):
        read_table(gap)


def test_numbers_of_a_folder_are_joined_as_numbers(tmp_path):
    pytest.importorskip("pandas")
    folder = write_folder(
        tmp_path / "numbers", rna="id,a\n0,1\n7,2\n", drugs="id,b\n7.0,4\n0.5,5\n0,6\n"
    )
    frame = read_table(folder)
    assert frame[["a", "b"]].loc[[7, 0]].to_numpy().tolist() == [[2, 4], [1, 6]]
    assert len(frame) == 3
