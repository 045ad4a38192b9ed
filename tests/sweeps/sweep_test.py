"""Sweeps: each row is computed once, written at once, and never mixed with other settings."""

import json
import signal
import sys

import numpy as np
import pytest

from tests.training import tiny_experiment  # noqa: F401  registers the experiment
from tf_mvae import experiments
from tf_mvae.data import evaluation_batches
from tf_mvae.data.binarization import binarize
from tf_mvae.errors import UserError
from tf_mvae.names import BASELINES
from tf_mvae.sweeps import sweep as sweeping
from tf_mvae.sweeps.flags import parse_methods, parse_numbers
from tf_mvae.sweeps.rows import Row, Rows, accuracy_table, average
from tf_mvae.sweeps.sweep import Sweep
from tf_mvae.training import RunConfig
from tf_mvae.training.stopping import SIGNALS, Stopped

FLAGS = ("--model=mvae", "--latent_dim=3", "--epochs=2", "--annealing_epochs=1", "--batch_size=20")
FLAGS += ("--jit_compile=false",)  # XLA compiles for longer than the rest takes


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """Returns a function that makes sweeps in one directory."""
    monkeypatch.setattr(
        sweeping, "_TRAIN", (sys.executable, "-m", "tests.training.tiny_experiment")
    )

    def make(methods, flags=FLAGS, experiment="tiny", **kwargs):
        given = {name: flags if name == "mvae" else None for name in methods}
        settings = {"fractions": (0.5,), "seeds": (0,), "baseline_steps": 30, **kwargs}
        return Sweep(tmp_path / "sweep", experiment, None, given, **settings)

    return make


def keys(rows):
    return [row.key for row in rows]


def test_rows_are_made_once_and_a_model_rides_with_the_baselines(sweep):
    rows = sweep(["mvae", "logistic_regression"]).run()
    assert keys(rows) == [("mvae", 0.5, 0), ("logistic_regression", 0.5, 0)]
    mvae, regression = rows
    assert (mvae.paired_examples, mvae.steps, mvae.test_examples) == (30, 6, 20)
    assert (regression.paired_examples, regression.steps) == (30, 0)
    # The tiny images' brightness is their class.
    assert regression.accuracy > 0.9
    assert not list((sweep([]).directory / "runs").iterdir())
    # Again: nothing is left to do.
    before = (sweep([]).directory / "rows.csv").read_text()
    sweep(["logistic_regression", "mvae"]).run()
    assert (sweep([]).directory / "rows.csv").read_text() == before
    # A row that a kill took away is made again, to the same figure.
    lines = before.splitlines(keepends=True)
    (sweep([]).directory / "rows.csv").write_text(lines[0] + lines[1])
    again = sweep(["mvae", "logistic_regression"]).run()
    assert list(again)[1].accuracy == regression.accuracy
    sweep(["mvae"], (*FLAGS, "--seed=9", "--experiment=mnist")).run()  # a sweep's own flags
    with pytest.raises(UserError, match=r"other settings: --methods \(mvae\)"):
        sweep(["mvae"], (*FLAGS, "--learning_rate=0.1")).run()
    with pytest.raises(UserError, match="other settings: --baseline_steps"):
        sweep(["logistic_regression"], baseline_steps=31).run()


@pytest.mark.parametrize("method", [m for m in BASELINES if m != "logistic_regression"])
def test_every_baseline_reads_the_class_far_better_than_by_chance(sweep, method):
    steps = 1500 if method == "supervised_network" else 200
    (row,) = sweep([method], baseline_steps=steps).run()
    assert row.accuracy > 0.6 and row.steps == steps
    assert ((sweep([]).directory / "features").exists()) == (method != "supervised_network")


def test_what_a_training_says_is_what_the_sweep_says(sweep):
    with pytest.raises(UserError, match="mvae could not be trained: --model=jmvae learns from"):
        sweep(["mvae"], ("--model=jmvae", "--batch_size=20")).run()


@pytest.mark.parametrize("model", ["cvae", "vae"])
def test_a_model_that_does_not_predict_the_class_is_refused_before_training(sweep, model):
    made = sweep(["mvae"], (f"--model={model}",))
    message = f"--methods .mvae.: --model={model} does not predict 'label' from 'image'"
    with pytest.raises(UserError, match=message):
        made.run()
    assert not made.directory.exists()


def test_a_cvae_of_the_class_predicts_it(sweep):
    sweep(["mvae"], ("--model=cvae", "--modality=label"))._check_predictions()


@pytest.mark.parametrize("experiment", ["sensors", "cd_sprites", "table"])
def test_an_experiment_without_a_class_is_refused_before_training(sweep, experiment):
    made = sweep(["mvae"], experiment=experiment)
    with pytest.raises(UserError, match="needs an experiment of one class and one other modality"):
        made.run()
    assert not made.directory.exists()


def test_baselines_get_the_random_draws_that_models_are_evaluated_on(monkeypatch):
    split = binarize(experiments.get("tiny").load("train", None), "dynamic")
    monkeypatch.setattr(sweeping, "load_split", lambda config, name: split)
    images, labels = sweeping._arrays(RunConfig("tiny"), "train", "image", "label")
    (batch,) = evaluation_batches(split, 60)
    np.testing.assert_array_equal(images, batch["x"]["image"])
    np.testing.assert_array_equal(labels, batch["x"]["label"])
    assert set(np.unique(images)) == {0, 255}


@pytest.mark.parametrize("method", ["logistic_regression", "supervised_network"])
def test_a_classifier_without_paired_examples_says_so(sweep, method):
    with pytest.raises(UserError, match="at least two classes; give larger --fractions"):
        sweep([method], fractions=(0.0,)).run()


def test_flagfiles_that_earlier_versions_recorded_are_compared_by_their_flags():
    text = "# A comment.\n--model=mvae\n\n  --epochs=2\n--experiment=mnist\n"
    assert sweeping._flags_that_matter(text.splitlines()) == ["--model=mvae", "--epochs=2"]


def test_two_sweeps_do_not_write_the_same_rows(sweep):
    first = sweep(["rbm"])
    lock = first._claim()
    with pytest.raises(UserError, match="another sweep is running"):
        first.run()
    lock.close()


def test_larger_fractions_are_run_with_the_first_seed_only(sweep):
    made = sweep(["rbm"], fractions=(0.1, 0.5), seeds=(3, 4), repeat_up_to=0.1)._keys()
    assert made == [("rbm", 0.1, 3), ("rbm", 0.1, 4), ("rbm", 0.5, 3)]


def test_rows_survive_on_disk_and_a_damaged_table_is_named(tmp_path):
    path = tmp_path / "rows.csv"
    rows = Rows(path)
    made = [
        Row("a", 0.1, seed, 5, accuracy, 20, 7, 1.5) for seed, accuracy in enumerate((0.5, 0.7))
    ]
    for row in made:
        rows.add(row)
    assert list(Rows(path)) == made
    assert made[0].key in Rows(path) and ("b", 0.1, 0) not in Rows(path)
    ((key, (mean, deviation, number)),) = average(rows).items()
    assert key == ("a", 0.1) and number == 2
    np.testing.assert_allclose([mean, deviation], [0.6, np.std([0.5, 0.7], ddof=1)])
    assert "| 10 % (5) | 60.0 ± 14.1 |" in accuracy_table(rows)
    path.write_text("method,seed\na,b\n")
    with pytest.raises(UserError, match="not the table of a sweep"):
        Rows(path)


def test_methods_and_numbers_are_read_from_flags(tmp_path):
    (tmp_path / "a.cfg").touch()
    file = str(tmp_path / "a.cfg")
    assert parse_methods(["rbm", f"mine={file}"]) == {"rbm": None, "mine": file}
    for wrong in (
        ["magic"],
        ["mine=nowhere.cfg"],
        ["rbm", "rbm"],
        [f"a b={file}"],
        [f"rbm={file}"],
    ):
        with pytest.raises(UserError, match="--methods"):
            parse_methods(wrong)
    assert parse_numbers("seeds", ["1", "2"], int) == (1, 2)
    for wrong in ([], ["x"], ["1", "1"]):
        with pytest.raises(UserError, match="--seeds"):
            parse_numbers("seeds", wrong, int)


@pytest.mark.parametrize("damaged", [b"", b"\xff", b"[]", b'{"methods": 3}'])
def test_damaged_files_of_a_sweep_are_named(sweep, damaged):
    made = sweep(["logistic_regression"])
    made.directory.mkdir()
    (made.directory / "sweep.json").write_bytes(damaged)
    with pytest.raises(UserError, match=r"sweep\.json is damaged"):
        made.run()
    features = made.directory / "features.npz"
    assert sweeping._features_of(features) is None
    features.write_bytes(damaged)
    assert sweeping._features_of(features) is None
    np.savez(features, train=np.ones(2), test=np.zeros(3))
    train, test = sweeping._features_of(features)
    assert (train.shape, test.shape) == ((2,), (3,))


def test_the_flags_of_a_method_may_be_corrected_until_it_has_a_row(sweep, monkeypatch):
    def fail(*_):
        raise UserError("a typo")

    typo = (*FLAGS, "--learning_rate=9")
    monkeypatch.setattr(Sweep, "_check_predictions", lambda _: None)
    monkeypatch.setattr(Sweep, "_model", fail)
    with pytest.raises(UserError, match="a typo"):
        sweep(["mvae"], typo, baseline_steps=7).run()
    monkeypatch.setattr(Sweep, "_model", lambda *_: (30, 0.5, 20, 6))
    made = sweep(["mvae"], keep_runs=True)
    assert keys(made.run()) == [("mvae", 0.5, 0)]
    recorded = json.loads((made.directory / "sweep.json").read_text())
    assert recorded["methods"] == {"mvae": "\n".join(FLAGS)}
    with pytest.raises(UserError, match=r"other settings: --methods \(mvae\); choose"):
        sweep(["mvae"], typo).run()


def test_an_unfinished_run_with_other_flags_says_what_to_do_in_a_sweep():
    other = "error: s/runs/m has a run of another configuration: --epochs=3 (was 2); choose another"
    assert sweeping._in_terms_of_sweep(f"{other} --run_dir") == (
        "s/runs/m has a run of another configuration: --epochs=3 (was 2); remove that folder to "
        "begin its row again, or choose another --sweep_dir"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_a_sweep_stops_the_training_and_then_the_sweep(monkeypatch, number):
    waiting = "import signal, sys; print('waits', file=sys.stderr, flush=True); signal.pause()"
    handlers = [signal.getsignal(one) for one in SIGNALS]
    monkeypatch.setattr(sweeping.tqdm.tqdm, "write", lambda *_, **__: signal.raise_signal(number))
    with pytest.raises(Stopped) as stopped:
        sweeping._run([sys.executable, "-c", waiting])
    assert stopped.value.signal == number
    assert [signal.getsignal(one) for one in SIGNALS] == handlers
