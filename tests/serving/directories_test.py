"""Versions are numbered, written atomically, and never overwritten."""

import concurrent.futures
import os
import pathlib
import threading

import pytest

from tf_mvae.errors import UserError
from tf_mvae.serving import directories
from tf_mvae.serving.directories import next_version, versions, write_directory, write_version


def write(folder):
    (folder / "part").mkdir()
    (folder / "part" / "file").write_text("whole")


def files(root):
    return {p.relative_to(root).as_posix(): p.read_text() for p in root.rglob("*") if p.is_file()}


def test_versions_follow_one_another(tmp_path):
    root = tmp_path / "served" / "name"
    assert (versions(root), next_version(root)) == ([], 1)
    assert write_version(root, write) == root / "1"
    assert write_version(root, write, version=9) == root / "9"
    assert write_version(root, write) == root / "10"
    (root / "notes").mkdir()
    assert versions(root) == [1, 9, 10]
    assert files(root) == {f"{number}/part/file": "whole" for number in (1, 9, 10)}


@pytest.mark.parametrize("version", [1, 0, -1])
def test_a_version_that_is_there_or_is_none_is_refused(tmp_path, version):
    write_version(tmp_path, write)
    (tmp_path / "1" / "part" / "file").write_text("mine")
    with pytest.raises(UserError, match="exists already" if version == 1 else "at least 1"):
        write_version(tmp_path, write, version)
    assert files(tmp_path) == {"1/part/file": "mine"}


def test_a_number_that_another_takes_meanwhile_is_passed_over(tmp_path):
    def slow(folder):
        write(folder)
        other = tmp_path / "1"
        other.mkdir()
        (other / "file").write_text("theirs")

    assert write_version(tmp_path, slow) == tmp_path / "2"
    assert files(tmp_path) == {"1/file": "theirs", "2/part/file": "whole"}


def test_threads_write_at_the_same_time(tmp_path):
    both = threading.Barrier(2)

    def slow(folder):
        both.wait(60)
        write(folder)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        made = [pool.submit(write_version, tmp_path, slow) for _ in range(2)]
        assert {one.result() for one in made} >= {tmp_path / "1"}
    assert set(files(tmp_path)) == {"1/part/file", "2/part/file"}


def test_another_kind_of_version_is_refused(tmp_path):
    write_version(tmp_path, write, marker="part")
    write_version(tmp_path, write, marker="part")
    with pytest.raises(UserError, match="has no other"):
        write_version(tmp_path, write, marker="other")
    assert versions(tmp_path) == [1, 2]


def test_what_fails_half_way_leaves_nothing(tmp_path):
    def fail(folder):
        write(folder)
        raise OSError("the disk is full")

    with pytest.raises(UserError, match="disk is full"):
        write_version(tmp_path, fail)

    def interrupted(folder):
        write(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_directory(tmp_path / "one", interrupted)
    assert list(tmp_path.iterdir()) == []


def test_everything_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    synced, at_rename = [], []
    rename = pathlib.Path.rename

    def to_disk(path):
        assert os.path.exists(path)
        synced.append(os.path.normpath(path))

    def renamed(path, target):
        at_rename.extend(synced)
        return rename(path, target)

    monkeypatch.setattr(directories, "_to_disk", to_disk)
    monkeypatch.setattr(pathlib.Path, "rename", renamed)
    write_directory(tmp_path / "one", write)
    (temporary,) = {path for path in at_rename if path.endswith(".tmp")}
    assert set(at_rename) == {temporary, f"{temporary}/part", f"{temporary}/part/file"}
    assert os.path.basename(temporary).startswith(".")  # a server passes over it
    assert synced[-1] == str(tmp_path)


def test_names_with_zeros_and_names_beyond_the_type_of_versions(tmp_path):
    (tmp_path / "03").mkdir()
    (tmp_path / "20261203060505123456").mkdir()
    assert versions(tmp_path) == [3]
    assert write_version(tmp_path, write) == tmp_path / "4"
    with pytest.raises(UserError, match="03 exists already"):
        write_version(tmp_path, write, version=3)
    with pytest.raises(UserError, match="03 has no part"):
        write_version(tmp_path, write, marker="part")
    with pytest.raises(UserError, match="at most 9223372036854775807"):
        write_version(tmp_path, write, version=2**63)
    (tmp_path / str(2**63 - 1)).mkdir()
    with pytest.raises(UserError, match="at most 9223372036854775807"):
        write_version(tmp_path, write)
