"""Errors of a run's directory are one line, and no file is lost."""

import errno
import json
import pathlib
import unittest.mock

import pytest

from tf_mvae.errors import UserError
from tf_mvae.training import RunConfig
from tf_mvae.training.run_directory import RunDirectory

CONFIG = RunConfig("digits", epochs=3)
ROWS = [{"epoch": epoch, "loss": 1.0} for epoch in (1, 2, 3)]
LINES = [json.dumps(row) for row in ROWS]
JUNK = {"empty": b"", "binary": b"\xff\xfe\x00\x9f", "cut short": b'{"epochs', "a list": b"[]"}


@pytest.fixture
def directory(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    directory.claim(CONFIG, True)
    yield directory
    directory.close()


@pytest.mark.parametrize("content", JUNK.values(), ids=JUNK.keys())
def test_a_flagfile_that_is_none_is_named(directory, content):
    directory.flags.write_bytes(content)
    with pytest.raises(UserError, match=r"flags\.cfg is not the flagfile of a run") as caught:
        directory.config()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", JUNK.values(), ids=JUNK.keys())
def test_a_summary_that_is_none_is_no_summary(directory, content, caplog):
    assert directory.summary() is None and not caplog.text
    directory.finished.write_bytes(content)
    assert directory.summary() is None
    assert "finished.json is damaged" in caplog.text
    directory.finished.write_text('{"epochs": 3}')
    assert directory.summary() == {"epochs": 3}


@pytest.mark.parametrize("junk", [b"\xff\xfe", b"{", b"[]", b"7", b'{"epoch": null}'])
def test_damaged_metrics_lose_no_other_line_and_the_file_is_kept(directory, junk, caplog):
    lines = [line.encode() for line in LINES]
    damaged = b"\n".join([lines[0], junk, *lines[1:]])
    directory.metrics.write_bytes(damaged)
    assert directory.metric_rows() == ROWS
    directory.keep_metrics(2)
    assert directory.metric_rows() == ROWS[:2]
    assert "damaged" in caplog.text
    assert (directory.path / "metrics.damaged.jsonl").read_bytes() == damaged


def test_a_last_line_that_was_cut_short_is_written_again(directory, caplog):
    directory.metrics.write_text("\n".join([*LINES[:2], LINES[2][:7]]))
    directory.keep_metrics(3)
    assert directory.metric_rows() == ROWS[:2]
    assert not caplog.text and not (directory.path / "metrics.damaged.jsonl").exists()


FOLDERS = ("assets", "checkpoints", "pictures", "sentences", "tensorboard", "saved_model")
FILES = ("flags.cfg", "metrics.jsonl", "model.keras", "finished.json", "evaluation.json")


@pytest.mark.parametrize("name", [*FOLDERS, *FILES])
def test_a_file_for_a_folder_and_the_reverse_are_named(directory, name):
    path = pathlib.Path(directory.path / name)
    path.unlink(missing_ok=True)
    if name in FOLDERS:
        path.write_text("")
    else:
        path.mkdir()
    again = RunDirectory(directory.path)
    directory.close()
    for use in (lambda: again.claim(CONFIG, True), again.config):
        with pytest.raises(UserError, match=f"{name} must be a f.* and is a f"):
            use()


def test_a_directory_that_cannot_be_written_is_named(directory, monkeypatch):
    directory.check_writable()
    assert sorted(path.name for path in directory.path.iterdir()) == [".lock", "flags.cfg"]
    error = OSError(errno.EROFS, "Read-only file system")
    monkeypatch.setattr("tempfile.TemporaryFile", unittest.mock.Mock(side_effect=error))
    with pytest.raises(UserError, match="run cannot be written: Read-only file system; make it"):
        directory.check_writable()


def test_a_lock_that_is_a_folder_is_named(tmp_path):
    (tmp_path / ".lock").mkdir()
    with pytest.raises(UserError, match="cannot be written: Is a directory"):
        RunDirectory(tmp_path).claim(CONFIG, True)


def test_only_the_number_of_epochs_may_change(directory):
    more = RunConfig("digits", epochs=5)
    directory.close()
    directory.claim(more, True)
    directory.finished.write_text('{"epochs": 3}')
    directory.go_on(more, 3)
    assert directory.config() == more
    assert not directory.finished.exists()
    with pytest.raises(UserError, match="--epochs=1 is fewer than the 2 .* --epochs=5 or more"):
        directory.go_on(RunConfig("digits", epochs=1), 2)
    directory.close()
    with pytest.raises(UserError, match=r"--seed=1 \(was 0\)"):
        directory.claim(RunConfig("digits", epochs=5, seed=1), True)


def test_a_schedule_that_depends_on_the_length_is_not_made_longer(tmp_path):
    cosine = RunConfig("digits", epochs=1, learning_rate_schedule="cosine")
    directory = RunDirectory(tmp_path)
    directory.claim(cosine, True)
    directory.close()
    more = RunConfig("digits", epochs=2, learning_rate_schedule="cosine")
    words = r"--epochs=2 \(was 1\) \(--learning_rate_schedule=cosine depends on --epochs\)"
    with pytest.raises(UserError, match=words):
        directory.claim(more, True)
    directory.close()


def test_a_directory_is_free_again_once_it_is_closed(tmp_path):
    first, second = RunDirectory(tmp_path), RunDirectory(tmp_path)
    first.claim(CONFIG, True)
    with pytest.raises(UserError, match="another process"):
        second.claim(CONFIG, True)
    first.close()
    second.claim(CONFIG, True)
    second.close()
