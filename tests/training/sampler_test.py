"""Samplers of runs: fitted, resumed, loaded and refused."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests.training import tiny_experiment  # noqa: F401  registers the experiment
from tf_mvae.errors import UserError
from tf_mvae.samplers import MixtureFlow
from tf_mvae.training import RunConfig, SamplerSettings, fit_sampler_of_run, load_run, train
from tf_mvae.training import sampler as sampler_module
from tf_mvae.training.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("untraced")

CONFIG = RunConfig(
    "tiny",
    latent_dim=3,
    epochs=1,
    annealing_epochs=1,
    batch_size=20,
    sampler_epochs=1,
    jit_compile=False,
)
SETTINGS = SamplerSettings(2, batch_size=20)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    small = lambda *sizes, **how: MixtureFlow(*sizes, 2, 8, 8, num_components=2, **how)  # noqa: E731
    patch.setitem(sampler_module.KINDS, "mixture_flow", small)
    for module in ("finishing", "run_sampler"):  # pictures and exports take long
        patch.setattr(f"tf_mvae.training.{module}.write_results", lambda *args: None)
    path = tmp_path_factory.mktemp("runs") / "run"
    train(CONFIG, path)
    yield path
    patch.undo()


def last_state(path):
    """Returns the numbers of the sampler's newest checkpoint, by name."""
    folder = max((path / "sampler" / "checkpoints").glob("step-*"))
    reader = tf.train.load_checkpoint(str(folder / "variables"))
    names = sorted(set(reader.get_variable_to_shape_map()) - {"_CHECKPOINTABLE_OBJECT_GRAPH"})
    return folder.name, {name: np.asarray(reader.get_tensor(name)).tobytes() for name in names}


def test_training_leaves_a_sampler_that_is_loaded_unless_refused(run_dir):
    model = load_run(run_dir).model
    assert len(model.sampler.weights) > 0 and not model.sampler.trainable
    assert load_run(run_dir, latents="posterior").model.sampler is None
    record = json.loads((run_dir / "sampler" / "sampler.json").read_text())
    assert record["settings"]["epochs"] == 1 and record["metrics"]["val_loss"] > 0


def test_one_that_was_interrupted_ends_with_the_same_weights(traced, run_dir, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for path in (whole, cut):
        shutil.copytree(run_dir, path)
    fit_sampler_of_run(whole, SETTINGS)
    shutil.rmtree(cut / "sampler")
    shutil.copytree(whole / "sampler", cut / "sampler")
    (last,) = (cut / "sampler" / "checkpoints").glob("step-*6")
    shutil.rmtree(last)
    fit_sampler_of_run(cut, SETTINGS)
    assert last_state(whole)[0] == "step-00000006"
    assert last_state(whole) == last_state(cut)


def test_the_sampler_of_another_checkpoint_is_not_used(run_dir, tmp_path, caplog):
    path = tmp_path / "run"
    shutil.copytree(run_dir, path)
    place = path / "sampler" / "sampler.json"
    place.write_text(json.dumps({**json.loads(place.read_text()), "model_step": 99}))
    assert load_run(path).model.sampler is None
    assert "was fitted to step 99, not 3" in caplog.text
    with pytest.raises(UserError, match="is not a run's directory"):
        fit_sampler_of_run(tmp_path / "none", SETTINGS)


def test_a_finished_run_may_be_given_another_sampler(run_dir, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(run_dir, path)
    train(CONFIG.replace(sampler_epochs=2), path)
    record = json.loads((path / "sampler" / "sampler.json").read_text())
    assert record["settings"]["epochs"] == 2 and "sampler" in record
    assert RunConfig.read(path / "flags.cfg").sampler_epochs == 2
    assert not list(path.glob("sampler.*"))


def test_a_refit_that_fails_leaves_the_sampler_that_was_there(run_dir, tmp_path, monkeypatch):
    path = tmp_path / "run"
    shutil.copytree(run_dir, path)
    before = last_state(path)

    def diverge(trainer, feed, writer, callbacks):
        trainer.sampler.weights[0].assign(trainer.sampler.weights[0] * np.nan)
        writer.set_model(trainer)
        writer.finite_epochs().on_epoch_end(0, {})

    monkeypatch.setattr(sampler_module, "fit_to_end", diverge)
    message = "diverged: .* Fit the sampler with .* --run_dir=.*/run --learning_rate=0.0002$"
    with pytest.raises(UserError, match=message):
        fit_sampler_of_run(path, SETTINGS)
    assert last_state(path) == before
    assert load_run(path).model.sampler is not None


def test_a_fit_that_replaces_another_is_continued(run_dir, tmp_path):
    directory = RunDirectory(tmp_path / "run")
    shutil.copytree(run_dir, directory.path)
    record = {"model_step": 3, "settings": dataclasses.asdict(SETTINGS)}
    place = sampler_module._begin_or_take_up(directory, record)
    assert place == directory.path / "sampler.new"
    (place / "checkpoints").mkdir()
    assert sampler_module._begin_or_take_up(directory, record) == place
    assert (place / "checkpoints").exists()
    sampler_module._begin_or_take_up(directory, {**record, "model_step": 4})
    assert not (place / "checkpoints").exists()


def test_guidance_is_a_setting_which_records_of_earlier_versions_lack(run_dir, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(run_dir, path)
    assert load_run(path).model.sampler.guidance == 2
    place = path / "sampler" / "sampler.json"
    record = json.loads(place.read_text())
    del record["settings"]["guidance"]
    place.write_text(json.dumps(record))
    (weights,) = (path / "sampler" / "checkpoints").glob("step-*")
    changed = weights.stat().st_mtime_ns
    fit_sampler_of_run(path, SamplerSettings(1))
    assert weights.stat().st_mtime_ns == changed  # nothing was fitted again
    train(CONFIG.replace(sampler_guidance=3), path)
    assert load_run(path).model.sampler.guidance == 3
    assert RunConfig.read(path / "flags.cfg").sampler_guidance == 3


def test_an_unfinished_sampler_is_not_used_and_says_so(run_dir, tmp_path, caplog):
    path = tmp_path / "run"
    shutil.copytree(run_dir, path)
    place = path / "sampler" / "sampler.json"
    record = json.loads(place.read_text())
    del record["sampler"]
    place.write_text(json.dumps(record))
    assert load_run(path).model.sampler is None
    assert "is not finished, and is not used" in caplog.text
