"""Checkpoints: damaged ones are skipped, the newest and the best are kept."""

import functools
import json
import pathlib
import resource
import shutil
import tempfile
import threading

import keras
import numpy as np
import pytest

from tests import tiny
from tf_mvae.errors import UserError
from tf_mvae.training import checkpoints as checkpoints_module
from tf_mvae.training.checkpoints import Checkpoints, Position

pytestmark = pytest.mark.usefixtures("untraced")


def make_model(seed=0):
    keras.utils.set_random_seed(seed)
    model = tiny.make_model()
    model.compile(keras.optimizers.Adam(1e-2))
    model.optimizer.build(model.trainable_variables)
    return model


def state(model):
    return [np.array(v) for v in (*model.variables, *model.optimizer.variables)]


def save_some(directory, losses):
    """Leaves one checkpoint an epoch, each after a step of training; returns their states."""
    folder, states = _saved(tuple(losses))
    shutil.copytree(folder.name, directory, dirs_exist_ok=True)
    return states


@functools.cache
def _saved(losses):
    folder = tempfile.TemporaryDirectory()
    directory = pathlib.Path(folder.name)
    model = make_model()
    checkpoints = Checkpoints(directory, model)
    states = []
    for epoch, loss in enumerate(losses, 1):
        model.fit(tiny.make_batch(), batch_size=8, epochs=1, verbose=0)
        checkpoints.save(Position(epoch, epoch, 0, {"val_loss": loss}))
        states.append(state(model))
    checkpoints.join()
    return folder, states


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_everything_comes_back(tmp_path):
    states = save_some(tmp_path, [3.0, 2.0])
    model = make_model(seed=5)
    assert Checkpoints(tmp_path, model).restore() == Position(2, 2, 0, {"val_loss": 2.0})
    assert_same(state(model), states[-1])


def test_the_newest_two_and_the_best_are_kept(tmp_path):
    states = save_some(tmp_path, [3.0, 1.0, 2.0, 4.0, 5.0])
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"step-{step:08d}" for step in (2, 4, 5)]
    model = make_model(seed=5)
    assert Checkpoints(tmp_path, model).restore("best", model_only=True).epoch == 2
    number = len(model.variables)
    assert_same(state(model)[:number], states[1][:number])


def test_a_checkpoint_within_an_epoch_is_never_the_best(tmp_path):
    model = make_model()
    checkpoints = Checkpoints(tmp_path, model)
    checkpoints.save(Position(1, 1, 0, {"val_loss": 9.0}))
    checkpoints.save(Position(2, 1, 1))
    assert checkpoints.restore("best").step == 1
    assert checkpoints.restore("last").step == 2


def _cut_short(folder):
    path = folder / "variables.data-00000-of-00001"
    path.write_bytes(path.read_bytes()[:-7])


def _flip_a_bit(folder):
    path = folder / "variables.data-00000-of-00001"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def _flip_a_byte_of_the_manifest(folder):
    path = folder / "manifest.json"
    text = path.read_text()
    assert '"epoch": 3' in text
    path.write_text(text.replace('"epoch": 3', '"epoch": 7'))


DAMAGES = {
    "cut short": _cut_short,
    "one bit flipped": _flip_a_bit,
    "no index": lambda folder: (folder / "variables.index").unlink(),
    "no manifest": lambda folder: (folder / "manifest.json").unlink(),
    "one byte of the manifest": _flip_a_byte_of_the_manifest,
    "manifest cut short": lambda folder: (folder / "manifest.json").write_text('{"position'),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_checkpoint_is_passed_over_and_named(tmp_path, caplog, damage):
    states = save_some(tmp_path, [3.0, 2.0, 1.0])
    damage(tmp_path / "step-00000003")
    model = make_model(seed=5)
    checkpoints = Checkpoints(tmp_path, model)
    assert checkpoints.restore().step == 2
    assert "step-00000003" in caplog.text
    assert_same(state(model), states[1])
    # It is replaced when the run gets there again, not lost before.
    checkpoints.save(Position(3, 3, 0, {"val_loss": 1.0}))
    assert checkpoints.restore().step == 3


def test_training_goes_on_while_a_checkpoint_is_written(tmp_path, monkeypatch):
    """The written state is that at the time of `save`."""
    model = make_model()
    checkpoints = Checkpoints(tmp_path, model)
    may_write = threading.Event()
    write = checkpoints._write_files
    monkeypatch.setattr(
        checkpoints, "_write_files", lambda *arguments: may_write.wait(60) and write(*arguments)
    )
    states = []
    for epoch in (1, 2):  # the second takes the memory of the first again
        may_write.clear()
        states.append(state(model))
        checkpoints.save(Position(epoch, epoch))
        model.fit(tiny.make_batch(), batch_size=8, epochs=2, verbose=0)
        assert not (tmp_path / f"step-0000000{epoch}").exists()
        may_write.set()
    checkpoints.join()
    assert all(np.any(state(model)[0] != earlier[0]) for earlier in states)
    assert Checkpoints(tmp_path, model).restore().step == 2
    assert_same(state(model), states[1])
    (tmp_path / "step-00000002" / "manifest.json").unlink()
    assert Checkpoints(tmp_path, model).restore().step == 1
    assert_same(state(model), states[0])


def test_a_write_that_fails_is_one_line_and_leaves_the_one_before(tmp_path):
    """The system rejects files above a kilobyte, like a full disk."""
    (expected,) = save_some(tmp_path, [1.0])
    model = make_model(seed=5)
    checkpoints = Checkpoints(tmp_path, model)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    try:
        checkpoints.save(Position(2, 2))
        with pytest.raises(UserError, match=r"step-00000002.*continues from step-0+1") as caught:
            checkpoints.join()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    assert checkpoints.restore().step == 1
    assert_same(state(model), expected)
    checkpoints.save(Position(2, 2))  # there is room again
    checkpoints.join()
    assert checkpoints.restore().step == 2


def test_as_many_are_kept_as_asked_for(tmp_path):
    model = make_model()
    checkpoints = Checkpoints(tmp_path, model, keep=3)
    for step in range(1, 6):
        checkpoints.save(Position(step, step))
    checkpoints.join()
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"step-0000000{s}" for s in (3, 4, 5)]


def test_nothing_whole_is_one_line(tmp_path):
    save_some(tmp_path, [1.0])
    _cut_short(tmp_path / "step-00000001")
    with pytest.raises(UserError, match="whole"):
        Checkpoints(tmp_path, make_model()).restore()


def test_no_checkpoint_is_none(tmp_path):
    assert Checkpoints(tmp_path / "nothing", make_model()).restore() is None


def test_a_write_that_was_cut_off_is_ignored_and_cleared_away(tmp_path):
    save_some(tmp_path, [1.0])
    (tmp_path / ".step-00000002.tmp").mkdir()
    model = make_model()
    assert Checkpoints(tmp_path, model).restore().step == 1
    checkpoints = Checkpoints(tmp_path, model)
    checkpoints.save(Position(2, 2))
    checkpoints.join()
    assert not list(tmp_path.glob(".step-*"))


MANIFESTS = {
    "no files": lambda manifest: manifest | {"files": {}},
    "a list": lambda manifest: [manifest],
    "files are a list": lambda manifest: manifest | {"files": ["variables.index"]},
    "no position": lambda manifest: manifest | {"position": None},
    "another position": lambda manifest: manifest | {"position": {"step": "3", "epoch": 1}},
    "metrics of text": lambda manifest: (
        manifest | {"position": {"step": 2, "epoch": 2, "metrics": {"val_loss": "low"}}}
    ),
}


@pytest.mark.parametrize("change", MANIFESTS.values(), ids=MANIFESTS.keys())
def test_a_manifest_of_another_form_is_damaged(tmp_path, caplog, change):
    """Also if its own checksum is right."""
    save_some(tmp_path, [3.0, 2.0])
    path = tmp_path / "step-00000002" / "manifest.json"
    manifest = change(json.loads(path.read_text()))
    if isinstance(manifest, dict):
        manifest["sha256"] = checkpoints_module._sum_of_rest(manifest)
    path.write_text(json.dumps(manifest))
    checkpoints = Checkpoints(tmp_path, make_model())
    assert checkpoints.restore().step == 1
    assert checkpoints.restore("best", model_only=True).step == 1
    assert "step-00000002 is damaged" in caplog.text


def test_files_and_folders_in_each_others_place_are_damage(tmp_path):
    save_some(tmp_path, [3.0])
    (tmp_path / "step-00000002").write_text("a file")
    (tmp_path / "step-00000003" / "manifest.json").mkdir(parents=True)
    (tmp_path / ".step-00000004.tmp").write_text("a file")
    checkpoints = Checkpoints(tmp_path, make_model())
    assert checkpoints.restore().step == 1
    for step in (2, 3):
        checkpoints.save(Position(step, step))
    checkpoints.join()
    assert checkpoints.restore().step == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"step-0000000{n}" for n in (1, 2, 3)]


def test_a_checkpoint_of_another_model_is_one_line(tmp_path):
    save_some(tmp_path, [3.0])
    other = tiny.make_model(num_random_subsets=1, latent_dim=7)
    other.compile("adam")
    other.optimizer.build(other.trainable_variables)
    for model_only in (False, True):
        with pytest.raises(UserError, match="step-00000001 does not fit the model") as caught:
            Checkpoints(tmp_path, other).restore(model_only=model_only)
        assert "\n" not in str(caught.value)
