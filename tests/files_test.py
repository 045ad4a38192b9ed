"""Files that are written atomically."""

import os

import pytest

from tf_mvae import files


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path):
    files.write_text(tmp_path / "a.json", "é")
    files.write_bytes(tmp_path / "a.json", b"new")
    assert (tmp_path / "a.json").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.keras"
    path.write_text("old")
    with pytest.raises(RuntimeError), files.replacing(path) as temporary:
        assert temporary.suffix == ".keras" and temporary.parent == tmp_path
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["model.keras"]


def test_a_folder_in_the_place_of_the_file_is_an_error_and_stays(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError):
        files.write_text(tmp_path / "a", "x")
    assert os.listdir(tmp_path) == ["a"]
