"""Runs: their results, their resumption and their errors."""

import json
import random
import shutil
import signal
import time
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_mvae  # noqa: F401  registers what a .keras file holds
from tests import processes, tiny
from tests.training import tiny_experiment  # noqa: F401  registers the experiment
from tf_mvae.data import Split
from tf_mvae.errors import UserError
from tf_mvae.training import RunConfig, finishing, load_run, train, trainer
from tf_mvae.training.run_directory import RunDirectory

# Whether XLA compiles a step is the subject of compilation_test.
CONFIG = RunConfig(
    "tiny", latent_dim=3, epochs=3, annealing_epochs=1, batch_size=10, jit_compile=False
)


def tiny_command(run_dir, *flags):
    return [
        "-m", "tests.training.tiny_experiment", "--experiment=tiny",
        "--latent_dim=3", "--batch_size=10", "--checkpoint_steps=2", "--picture_epochs=1000",
        f"--run_dir={run_dir}", *flags,
    ]  # fmt: skip


def spawn(run_dir, *flags):
    return processes.start(*tiny_command(run_dir, *flags))


def last_checkpoint(run_dir):
    """Returns the newest checkpoint's files, bytes by name."""
    folder = max((run_dir / "checkpoints").glob("step-*"))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def last_state(run_dir):
    """Returns the newest checkpoint's numbers; names of variables differ within a process."""
    folder = max((run_dir / "checkpoints").glob("step-*"))
    reader = tf.train.load_checkpoint(str(folder / "variables"))
    names = sorted(set(reader.get_variable_to_shape_map()) - {"_CHECKPOINTABLE_OBJECT_GRAPH"})
    return {"position": json.loads((folder / "manifest.json").read_text())["position"]} | {
        name: np.asarray(reader.get_tensor(name)).tobytes() for name in names
    }


def metric_rows(run_dir):
    rows = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("finished") / "run"
    train(CONFIG, run_dir)
    return run_dir


def test_a_run_leaves_everything(finished):
    names = {path.name for path in finished.iterdir()}
    assert names >= {
        "flags.cfg", "checkpoints", "tensorboard", "metrics.jsonl", "pictures", "saved_model",
        "model.keras", "finished.json",
    }  # fmt: skip
    assert {path.name for path in (finished / "pictures").iterdir()} == {
        "samples.png", "reconstructions.png", "curves.png", "image_given_label.png",
        "label_given_image.png",
    }  # fmt: skip
    assert [row["epoch"] for row in metric_rows(finished)] == [1, 2, 3]
    resolved = CONFIG.replace(term_weight={"label": 0.1})  # the default
    assert RunConfig.read(finished / "flags.cfg") == resolved


def test_tensorboard_has_scalars_and_images(finished):
    tags = set()
    for path in (finished / "tensorboard").iterdir():
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            tags |= {value.tag for value in event.summary.value}
    assert tags >= {"training/elbo", "validation/elbo", "training/kl", "samples"}


def test_the_models_of_a_run_agree(finished):
    run = load_run(finished)
    batch = next(iter(run.batches("test", 20)))
    expected = run.model(batch)
    loaded = keras.models.load_model(finished / "model.keras")(batch)
    served = tf.saved_model.load(str(finished / "saved_model")).signatures["serving_default"]
    mask = tf.ones([20])
    image = tf.cast(batch["x"]["image"], tf.float32) / 255
    label = batch["x"]["label"]
    answer = served(image=image, label=label, image_mask=mask, label_mask=mask)
    for name, value in expected.items():
        np.testing.assert_allclose(loaded[name], value, atol=1e-6)
        np.testing.assert_allclose(answer[name], value, atol=1e-5)


def test_the_best_checkpoint_is_the_least_validation_loss(finished):
    best = min(metric_rows(finished), key=lambda row: row["val_loss"])
    assert load_run(finished, "best").checkpoint_step == best["step"]
    assert load_run(finished, "last").checkpoint_step == 18


def test_a_finished_run_started_again_does_no_harm(finished, capsys):
    def stamps():
        return {
            path: path.stat().st_mtime_ns
            for path in finished.rglob("*")
            if path.is_file() and path.name != ".lock"
        }

    before = stamps()
    train(CONFIG, finished)
    assert "finished" in capsys.readouterr().out
    assert stamps() == before


def test_a_finished_run_goes_on_for_more_epochs(finished, tmp_path, capsys):
    """Exports are written again; fewer epochs are an error."""
    longer = CONFIG.replace(epochs=4)
    run_dir = shutil.copytree(finished, tmp_path / "run")
    exported = (run_dir / "saved_model" / "saved_model.pb").stat().st_ino
    train(longer, run_dir)
    assert "--epochs=3 and continues to --epochs=4" in capsys.readouterr().out
    assert metric_rows(run_dir)[:3] == metric_rows(finished)
    assert [row["epoch"] for row in metric_rows(run_dir)] == [1, 2, 3, 4]
    assert RunConfig.read(run_dir / "flags.cfg").epochs == 4
    assert json.loads((run_dir / "finished.json").read_text())["epochs"] == 4
    assert (run_dir / "saved_model" / "saved_model.pb").stat().st_ino != exported
    assert not list(run_dir.glob(".saved_model*"))
    with pytest.raises(UserError, match="--epochs=2 is fewer than the 4 that the run in .* has"):
        train(CONFIG.replace(epochs=2), run_dir)
    assert json.loads((run_dir / "finished.json").read_text())["epochs"] == 4


def test_one_epoch_and_then_two_end_as_two_at_once_to_the_bit(tmp_path, training_alone):
    """Also with moving averages, a warm-up and accumulated gradients."""
    config = CONFIG.replace(
        epochs=2,
        ema=0.9,
        warmup_steps=9,
        gradient_accumulation_steps=4,
    )
    train(config, tmp_path / "whole")
    train(config.replace(epochs=1), tmp_path / "run")
    train(config, tmp_path / "run")
    assert last_state(tmp_path / "run") == last_state(tmp_path / "whole")
    assert metric_rows(tmp_path / "run") == metric_rows(tmp_path / "whole")


@pytest.mark.parametrize(
    ("files", "shown"),
    [
        (["curves"], ["curves"]),
        (["curves", "b_given_a", "samples"], ["samples", "each modality from each other one"]),
        ([], []),
    ],
)
def test_the_closing_list_names_the_pictures_that_are_there(files, shown, tmp_path, capsys):
    directory = RunDirectory(tmp_path)
    directory.pictures.mkdir()
    for name in files:
        (directory.pictures / f"{name}.png").touch()
    best = types.SimpleNamespace(epoch=1, metrics={"val_elbo": -1.0, "val_loss": 1.0})
    finishing._print_summary(directory, best, tiny.make_model())
    lines = capsys.readouterr().out.splitlines()
    found = [line for line in lines if line.startswith("  pictures ")]
    assert len(found) == bool(files)
    for line in found:
        assert all(kind in line for kind in shown) and "reconstructions" not in line


def test_a_few_examples_are_not_to_be_trained_on_one_by_one():
    split = Split(tf.data.Dataset.range(1), 1)
    with pytest.raises(UserError, match="has 1 example, too few to learn from; add examples"):
        trainer._check_batch_size(CONFIG, split, None)
    with pytest.raises(UserError, match="has 40 examples, less than one batch of 64; lower"):
        forty = Split(tf.data.Dataset.range(40), 40)
        trainer._check_batch_size(CONFIG.replace(batch_size=64), forty, None)
    trainer._check_batch_size(CONFIG.replace(batch_size=1), split, None)


def test_a_damaged_summary_is_written_anew(finished, tmp_path, nothing_exported, caplog, capsys):
    run_dir = shutil.copytree(finished, tmp_path / "run")
    summary = (run_dir / "finished.json").read_text()
    (run_dir / "finished.json").write_text("")
    train(CONFIG, run_dir)
    assert "finished.json is damaged" in caplog.text
    assert "(after the last epoch)" in capsys.readouterr().out
    assert (run_dir / "finished.json").read_text() == summary
    assert metric_rows(run_dir) == metric_rows(finished)


def test_another_configuration_is_refused(finished):
    other = RunConfig("tiny", latent_dim=3, epochs=3, annealing_epochs=1, batch_size=20)
    with pytest.raises(UserError, match=r"--batch_size=20 \(was 10\)"):
        train(other, finished)
    with pytest.raises(UserError, match="--resume"):
        train(CONFIG, finished, resume=False)


def test_a_directory_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match=r"thesis\.tex"):
        train(CONFIG, tmp_path)
    with pytest.raises(UserError, match="file"):
        train(CONFIG, tmp_path / "thesis.tex")
    with pytest.raises(UserError, match="cannot be written"):
        train(CONFIG, tmp_path / "thesis.tex" / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"experiment": "nonsense"}, "digits"),
        ({"data_dir": "wrong"}, "no data"),
        ({"batch_size": 61}, "--batch_size"),
        ({"likelihood_weight": {"lable": 1.0}}, "lable"),  # codespell:ignore lable
        ({"num_random_subsets": 1}, "subsets"),
    ],
)
def test_a_mistake_leaves_no_directory(tmp_path, change, word):
    given = {"experiment": "tiny", "latent_dim": 3, "batch_size": 10, **change}
    with pytest.raises(UserError, match=word):
        train(RunConfig(**given), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_data_out_of_range_are_one_line(tmp_path):
    config = RunConfig("tiny", latent_dim=3, batch_size=10, data_dir="out_of_range")
    with pytest.raises(UserError, match=r"'label' must hold integers in 0\.\.2") as caught:
        train(config, tmp_path / "run")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kills", [1, pytest.param(5, marks=pytest.mark.long)])
def test_a_run_that_is_killed_ends_as_one_never_killed(tmp_path, kills):
    """SIGKILL at random moments; weights, optimizer and metrics are the same to the bit."""
    flags = [f"--epochs={8 + 8 * kills}", "--annealing_epochs=8", "--jit_compile=false"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    reference = spawn(whole, *flags)
    assert reference.wait() == 0, reference.stderr.read()

    moments = random.Random(0)
    steps = []
    while len(steps) < kills:
        process = spawn(killed, *flags)
        known = set((killed / "checkpoints").glob("step-*"))
        deadline = time.monotonic() + 120
        while set((killed / "checkpoints").glob("step-*")) <= known:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.5))
        assert process.poll() is None, "the run ended before it could be killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
        steps.append(max((killed / "checkpoints").glob("step-*")).name)
    assert steps == sorted(steps) and (kills == 1 or len(set(steps)) > 1)
    last = spawn(killed, *flags)
    assert last.wait() == 0, last.stderr.read()

    assert last_checkpoint(killed) == last_checkpoint(whole)
    assert metric_rows(killed) == metric_rows(whole)
    assert (killed / "pictures" / "samples.png").read_bytes() == (
        whole / "pictures" / "samples.png"
    ).read_bytes()


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.long)],
)
def test_a_signal_leaves_a_checkpoint_and_says_so(tmp_path, number, status):
    process = spawn(tmp_path / "run", "--epochs=100000", "--checkpoint_steps=1000000")
    while not list((tmp_path / "run" / "checkpoints").glob("step-*")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert "continues from there" in output
    assert "Traceback" not in errors


def test_two_processes_do_not_share_a_directory(tmp_path):
    process = spawn(tmp_path / "run", "--epochs=100000")
    try:
        while not (tmp_path / "run" / "flags.cfg").exists():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.02)
        with pytest.raises(UserError, match="another process"):
            train(CONFIG, tmp_path / "run")
    finally:
        process.kill()
        process.wait()


def test_a_loss_that_is_not_finite_is_told(tmp_path):
    config = RunConfig("tiny", latent_dim=3, batch_size=10, learning_rate=1e12, jit_compile=False)
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(UserError, match="--learning_rate"):
        train(config, tmp_path / "run")
    assert signal.getsignal(signal.SIGTERM) is handler


def test_self_training_that_never_begins_is_told(tmp_path, monkeypatch, caplog):
    def stop(*_):
        raise UserError("not trained")

    monkeypatch.setattr(trainer, "_fit", stop)
    config = CONFIG.replace(self_training={"label": 0.9}, self_training_start=18)
    with pytest.raises(UserError, match="not trained"):
        train(config, tmp_path / "run")
    assert caplog.text.count("begins after 18 steps, and the run has 18; lower") == 1
    caplog.clear()
    trainer._warn_of_late_self_training(config, 19)
    trainer._warn_of_late_self_training(CONFIG, 1)
    assert not caplog.text


def test_an_unwritable_directory_is_named():
    with pytest.raises(UserError, match="/proc/run cannot be written"):
        train(CONFIG, "/proc/run")


SEVERAL = CONFIG.replace(jit_compile=True, steps_per_execution=4)


@pytest.fixture
def stopped_at(monkeypatch):
    """`stopped_at(step, config, run_dir, checkpoint_steps)` trains up to a checkpoint's step.

    It returns the steps of all checkpoints.
    """
    save = trainer.CheckpointWriter._save

    def train_up_to(step, config, run_dir, checkpoint_steps):
        written = []

        def stop(self):
            save(self)
            written.append(self.position.step)
            if self.position.step == step:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(trainer.CheckpointWriter, "_save", stop)
            with pytest.raises(KeyboardInterrupt):
                train(config, run_dir, checkpoint_steps=checkpoint_steps)
        return written

    return train_up_to


def test_several_steps_a_program_resume_to_the_bit(tmp_path, stopped_at, training_alone):
    # Of 6 steps an epoch 3 are one program, since 4 do not divide it; every second step is due.
    assert stopped_at(9, SEVERAL, tmp_path / "stopped", 2) == [3, 6, 9]
    train(SEVERAL, tmp_path / "stopped", checkpoint_steps=2)
    train(SEVERAL, tmp_path / "whole")
    assert last_state(tmp_path / "stopped") == last_state(tmp_path / "whole")


@pytest.mark.long
def test_several_steps_a_program_go_on_where_single_ones_stopped(
    tmp_path, stopped_at, training_alone
):
    """A run that single steps or replicas left anywhere in an epoch ends with it all the same."""
    stopped_at(7, SEVERAL.replace(steps_per_execution=1), tmp_path / "odd", 1)
    train(SEVERAL, tmp_path / "odd", checkpoint_steps=2)
    train(SEVERAL, tmp_path / "whole")
    odd, whole = (load_run(tmp_path / n, "last").model.get_weights() for n in ("odd", "whole"))
    tiny.assert_close(odd, whole, 1e-4, 1e-5)
