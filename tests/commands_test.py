"""The commands in processes: their output and exit status."""

import json
import pathlib
import shlex
import shutil
import subprocess
import sys

import pytest
import tensorflow as tf

import tf_mvae
from tests import processes
from tests.training import tiny_experiment  # noqa: F401  registers the experiment
from tf_mvae import command
from tf_mvae.errors import UserError
from tf_mvae.training import RunConfig, train

ROOT = pathlib.Path(__file__).parents[1]
CONFIG = RunConfig(
    "tiny", latent_dim=3, epochs=2, annealing_epochs=1, batch_size=10, jit_compile=False
)
COMMANDS = (
    *("train", "generate", "evaluate", "impute", "export", "serve", "sweep"),
    *("inspect_table", "data_service"),
)
MAIN_FLAG = {
    "serve": "--model_dir",
    "sweep": "--sweep_dir",
    "data_service": "--port",
    "inspect_table": "--output",
}


def run(*arguments):
    return subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True
    )


def run_on_tiny(name, *flags):
    """Runs a command in a process in which the tiny experiment is registered."""
    program = (
        "import sys; sys.argv[0] = '-m'; import tests.training.tiny_experiment; "
        f"from tf_mvae import command, {name}; command.run({name}.main, {name}.check_flags)"
    )
    return processes.run("-c", program, *flags)


def assert_one_line(result, *words):
    assert result.returncode == 2, result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), result.stderr
    for word in words:
        assert word in lines[0]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("run") / "run"
    train(CONFIG, run_dir)
    return run_dir


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_the_flags_and_loads_no_tensorflow(name):
    result = run("-X", "importtime", "-m", f"tf_mvae.{name}", "--help")
    assert MAIN_FLAG.get(name, "--run_dir") in result.stdout
    assert "import time" in result.stderr
    assert "tensorflow" not in result.stderr and "keras" not in result.stderr
    if name in ("evaluate", "export", "generate", "impute"):
        assert "--checkpoint:" in result.stdout and "--latents:" in result.stdout


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["train", "--epoch=3"], ["epoch"]),
        (["train", "--epochs=many"], ["--epochs", "many"]),
        (["train", "--flagfile=/no/such.cfg"], ["/no/such.cfg"]),
        (["train", "epochs=3"], ["epochs=3", "--name=value"]),
        (["generate"], ["--run_dir"]),
        (["evaluate", "--run_dir=x", "--split=tset"], ["--split", "tset"]),
        (["evaluate", "--run_dir=x", "--given=label"], ["--given", "--target"]),
        (["fit_sampler", "--run_dir=x", "--seed=2147483648"], ["--seed", "2147483647"]),
        (["generate", "--run_dir=x", "--seed=2147483648"], ["--seed", "2147483647"]),
        (["impute", "--run_dir=x", "--seed=2147483648"], ["--seed", "2147483647"]),
    ],
)
def test_a_wrong_flag_is_one_line(flags, words):
    assert_one_line(run("-m", f"tf_mvae.{flags[0]}", *flags[1:]), *words)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["train", "--experiment=mnits"], ["--experiment=mnits", "did you mean mnist?"]),
        (["train", "--model=mave"], ["--model=mave", "jmvae"]),
        (["train", "--learning_rate=-1"], ["--learning_rate", "-1"]),
        (["train", "--term_weight=label"], ["image=1,label=50"]),
        (["train", "--strategy=tpu"], ["--strategy=tpu"]),
        (["train", "--run_dir=setup.py"], ["setup.py is a file"]),
        (["train", "--experiment=table"], ["needs --table"]),
        (["train", "--experiment=table", "--table=no.csv"], ["no.csv does not exist"]),
        (["train", "--experiment=digits", "--alpha=0.5"], ["--alpha", "--model=jmvae"]),
        (["serve", "--model_dir=nowhere"], ["--model_dir=nowhere is not a directory"]),
        (["serve", "--model_dir=tests", "--max_queue=0"], ["--max_queue must be above 0"]),
        (["serve", "--model_dir=tests", "--grpc_port=70000"], ["--grpc_port", "70000"]),
        (["inspect_table", "--table=no.csv"], ["no.csv does not exist"]),
        (["evaluate", "--run_dir=nowhere", "--analysis=beauty"], ["beauty", "accuracy"]),
        (["fit_sampler", "--run_dir=x", "--learning_rate=nan"], ["--learning_rate must be"]),
        (
            ["evaluate", "--run_dir=nowhere", "--analysis=accuracy", "--target=image"],
            ["--target is for --analysis=log_likelihood and weight_variance; --analysis=accuracy"],
        ),
        (
            ["evaluate", "--run_dir=nowhere", "--analysis=accuracy,latent", "--ways=guidance=1"],
            ["--ways is for --analysis=generation; --analysis=accuracy,latent does not use it"],
        ),
        (
            ["evaluate", "--run_dir=nowhere", "--analysis=accuracy", "--baseline_steps=9"],
            ["--baseline_steps is for --analysis=attributes, generation, tr", "=accuracy does not"],
        ),
        (["generate", "--run_dir=nowhere", "--beam_width=3"], ["--beam_width", "--decoding=beam"]),
        (["generate", "--run_dir=nowhere", "--condition=7"], ["NAME=VALUE"]),
        (["generate", "--run_dir=nowhere", "--condition=a=7", "--condition=a=8"], ["give one"]),
        (["generate", "--run_dir=nowhere"], ["nowhere", "not a run's directory"]),
        (["export", "--run_dir=nowhere", "--output_dir=x"], ["nowhere", "not a run's dir"]),
        (["sweep", "--sweep_dir=x", "--methods=magic"], ["magic", "rbm"]),
        (["sweep", "--sweep_dir=x", "--fractions=2"], ["--fractions", "2"]),
        (["sweep", "--sweep_dir=x", "--seeds=2147483648"], ["--seeds", "2147483647"]),
    ],
)
def test_a_wrong_value_is_refused_without_tensorflow(flags, words):
    """Importing TensorFlow takes seconds, so flags are checked before."""
    result = run("-X", "importtime", "-m", f"tf_mvae.{flags[0]}", *flags[1:])
    imports = [line for line in result.stderr.splitlines() if line.startswith("import time:")]
    assert imports and not [line for line in imports if "tensorflow" in line or "keras" in line]
    result.stderr = "\n".join(line for line in result.stderr.splitlines() if line not in imports)
    assert_one_line(result, *words)


SWEEPS = sorted((ROOT / "configs").rglob("weak_supervision/*mnist.cfg"))


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_a_sweep_finds_no_fault_in_its_configs(path):
    program = (
        "import sys; from tf_mvae import command, sweep\n"
        "sweep.FLAGS(command.expand_flagfiles(sys.argv)); sweep.check_flags()"
    )
    result = run("-c", program, f"--flagfile={path}")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--epochz=3", ["epochz"]),
        ("--epochs=many", ["--epochs", "many"]),
        ("--learning_rate=-1", ["--learning_rate", "-1"]),
        ("--alpha=0.5", ["--alpha is for --model=jmvae"]),
        ("--model=mave", ["--model=mave", "jmvae"]),
        ("epochs=3", ["epochs=3", "--name=value"]),
    ],
)
def test_a_sweep_checks_the_flags_of_its_models_first(tmp_path, line, words):
    (tmp_path / "own.cfg").write_text(f"--model=mvae\n--drop_incomplete\n{line}\n")
    given = [f"--sweep_dir={tmp_path}/sweep", f"--methods=own={tmp_path}/own.cfg"]
    result = run("-m", "tf_mvae.sweep", *given)
    assert_one_line(result, "--methods (own): ", *words)
    assert not (tmp_path / "sweep").exists()


def test_tables_of_own_experiments_are_known_without_tensorflow(tmp_path, monkeypatch):
    text = 'register(Experiment("{0}", "Mine.", load, modalities, table={1}))\n'
    text = text.format("rows", "load_table") + text.format("none", "None")
    (tmp_path / "mine.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    (tmp_path / "a.csv").write_text("a\n1\n")
    given = [f"--input={tmp_path}/a.csv", "--output=x.png"]
    for name, used, flags, word in (
        ("rows", "generate", given[1:], "names no format of tables"),
        ("rows", "impute", given, "names no format of tables"),
        ("none", "impute", given, "is a run of --experiment=mine:none, whose data are not a table"),
    ):
        (tmp_path / "flags.cfg").write_text(f"--experiment=mine:{name}\n--model=mvae\n")
        program = (
            f"import sys; from tf_mvae import command, {used} as c\n"
            "try: command.run(c.main, c.check_flags)\n"
            "finally: assert 'tensorflow' not in sys.modules"
        )
        assert_one_line(run("-c", program, f"--run_dir={tmp_path}", *flags), word)


def test_a_flagfile_names_another_one_next_to_it(tmp_path, monkeypatch):
    (tmp_path / "own.cfg").write_text("# A comment.\n\n--flagfile=base.cfg\n--seed=2\n")
    (tmp_path / "base.cfg").write_text("--seed=1\n--model=vae\n  // Another.\n")
    own = str(tmp_path / "own.cfg")
    for flags in ([f"--flagfile={own}"], ["-flagfile", own]):
        found = command.expand_flagfiles(["train", *flags, "--epochs=3"])
        assert found == ["train", "--seed=1", "--model=vae", "--seed=2", "--epochs=3"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "own.cfg").write_text("--flagfile=base.cfg\n")
    assert "--model=vae" in command.expand_flagfiles(["--flagfile=elsewhere/own.cfg"])
    for path in ("own.cfg", "./own.cfg", "elsewhere/../own.cfg"):
        (tmp_path / "base.cfg").write_text(f"--flagfile={path}\n")
        with pytest.raises(UserError, match="own.cfg includes itself"):
            command.expand_flagfiles(["--flagfile=own.cfg"])


def test_a_flagfile_that_is_not_utf_8_is_named(tmp_path):
    path = tmp_path / "own.cfg"
    path.write_bytes(b"--seed=2\n# \xff\n")
    with pytest.raises(UserError, match=r"own\.cfg is not UTF-8"):
        command.expand_flagfiles([f"--flagfile={path}"])
    result = run("-m", "tf_mvae.sweep", f"--sweep_dir={tmp_path}", f"--methods=mine={path}")
    assert_one_line(result, "own.cfg is not UTF-8")  # a sweep reads what its models' include


@pytest.mark.parametrize("name", COMMANDS)
def test_version_is_printed_by_every_command(name):
    result = run("-m", f"tf_mvae.{name}", "--version")
    assert (result.returncode, result.stdout) == (0, f"tf_mvae {tf_mvae.__version__}\n")


def test_the_package_lists_its_commands_without_tensorflow():
    result = run("-X", "importtime", "-m", "tf_mvae")
    assert result.returncode == 0 and "python -m tf_mvae.train" in result.stdout
    assert "tensorflow" not in result.stderr and "keras" not in result.stderr


def test_an_unknown_experiment_and_missing_data_are_one_line(tmp_path):
    result = run("-m", "tf_mvae.train", "--experiment=mnits", f"--run_dir={tmp_path}/run")
    assert_one_line(result, "mnits", "digits")
    result = run(
        "-m", "tf_mvae.train", "--experiment=mnist", f"--data_dir={tmp_path}",
        f"--run_dir={tmp_path}/run",
    )  # fmt: skip
    assert_one_line(result, "tfds build mnist", "--experiment=digits")
    assert not (tmp_path / "run").exists()


def test_a_directory_without_a_run_is_one_line(tmp_path):
    result = run("-m", "tf_mvae.generate", f"--run_dir={tmp_path}")
    assert_one_line(result, str(tmp_path), "not a run's directory")


def test_generate_draws_what_was_asked_for(finished):
    result = run_on_tiny("generate", f"--run_dir={finished}", "--condition=label=2")
    assert result.returncode == 0, result.stderr
    path = finished / "generated" / "label=2.png"
    assert str(path) in result.stdout
    assert tf.io.decode_png(path.read_bytes()).shape[-1] == 4
    result = run_on_tiny("generate", f"--run_dir={finished}", "--num_samples=5")
    assert "label: " in result.stdout
    assert (finished / "generated" / "prior.png").exists()


def test_generate_names_a_wrong_condition(finished):
    result = run_on_tiny("generate", f"--run_dir={finished}", "--output=x.npz")
    assert_one_line(result, "its name ends in .png")
    result = run_on_tiny("generate", f"--run_dir={finished}", "--condition=label=9")
    assert_one_line(result, "label=9", "0, 1, 2")
    result = run_on_tiny("generate", f"--run_dir={finished}", "--decoding=sample")
    assert_one_line(result, "--decoding is for sentences")


def test_generate_names_the_condition_that_a_model_needs():
    program = (
        "import types, tf_mvae.training\n"
        "from tests import tiny\n"
        "from tf_mvae import CVAE, command, generate\n"
        "run = types.SimpleNamespace(model=tiny.make_any(CVAE), tokenizers=dict)\n"
        "run.experiment = types.SimpleNamespace(table=None)\n"
        "tf_mvae.training.load_run = lambda *_, **__: run\n"
        "command.run(generate.main)"
    )
    result = processes.run("-c", program, "--run_dir=x")
    assert_one_line(result, "--condition=label=VALUE", "given label and reading only")


def test_evaluate_prints_what_it_cannot_write(finished):
    program = (
        "import sys; sys.argv[0] = '-m'; import tests.training.tiny_experiment\n"
        "from tf_mvae import command, evaluate, evaluation\n"
        "def fail(path, _): raise OSError(30, 'Read-only file system', str(path))\n"
        "evaluation.update_report = fail\n"
        "command.run(evaluate.main, evaluate.check_flags)"
    )
    flags = ["--analysis=accuracy", "--max_examples=5", "--num_samples=1"]
    result = processes.run("-c", program, f"--run_dir={finished}", *flags)
    assert_one_line(result, "evaluation.json: Read-only file system")
    assert "label | image" in result.stdout


def test_evaluate_writes_what_it_prints(finished):
    result = run_on_tiny("evaluate", f"--run_dir={finished}")
    assert result.returncode == 0, result.stderr
    report = json.loads((finished / "evaluation.json").read_text())
    assert set(report) == {"accuracy", "coherence"}
    value = report["accuracy"]["results"]["label | image"]["value"]
    assert f"{100 * value:.2f} %" in result.stdout
    assert report["accuracy"]["settings"]["split"] == "test"


def test_evaluate_names_an_unknown_analysis(finished):
    result = run_on_tiny("evaluate", f"--run_dir={finished}", "--analysis=beauty")
    assert_one_line(result, "beauty", "accuracy, attributes, coherence")


def test_evaluate_refuses_a_data_set_that_the_run_did_not_read(finished):
    result = run_on_tiny("evaluate", f"--run_dir={finished}", "--dataset_dir=/pets/1.0.0")
    assert_one_line(result, "--dataset_dir=/pets/1.0.0", "remove the flag")


def test_export_writes_versions_and_overwrites_none(finished, tmp_path):
    flags = [f"--run_dir={finished}", f"--output_dir={tmp_path}/served/tiny"]
    result = run_on_tiny("export", *flags)
    assert result.returncode == 0, result.stderr
    place = tmp_path / "served" / "tiny" / "1"
    assert str(place) in result.stdout and (place / "saved_model.pb").exists()
    card = json.loads((place / "assets.extra" / "model_card.json").read_text())
    assert card["data"]["experiment"] == "tiny" and card["flags"]["latent_dim"] == 3
    assert "data_dir" not in card["flags"]  # where data lie on a machine is nobody's business
    assert "validation elbo (nats an example)" in card["metrics"]
    assert_one_line(run_on_tiny("export", *flags, "--version=1"), "exists already")
    result = run_on_tiny("export", *flags[:1], f"--output_dir={tmp_path}/k", "--format=keras")
    assert "it agrees with the model to 0" in result.stdout, result.stderr
    assert (tmp_path / "k" / "1" / "model.keras").exists()


def test_evaluate_estimates_likelihoods_and_plots_them(finished):
    flags = ["--analysis=log_likelihood,weight_variance", "--num_samples=7", "--max_examples=15"]
    result = run_on_tiny("evaluate", f"--run_dir={finished}", *flags)
    assert result.returncode == 0, result.stderr
    report = json.loads((finished / "evaluation.json").read_text())
    settings = report["log_likelihood"]["settings"]
    assert (settings["num_samples"], settings["max_examples"], settings["seed"]) == (7, 15, 0)
    results = report["log_likelihood"]["results"]
    assert len(results) == 5 and len(report["weight_variance"]["results"]) == 3
    assert f"{results['log p(image | label)']['value']:.3f} nats" in result.stdout
    assert (finished / "evaluation" / "log_likelihood.png").stat().st_size > 1000


def test_evaluate_answers_one_question(finished):
    flags = ["--target=image", "--proposal=prior", "--num_samples=5"]
    result = run_on_tiny("evaluate", f"--run_dir={finished}", "--analysis=log_likelihood", *flags)
    assert "log p(image), z from p(z)" in result.stdout
    result = run_on_tiny(
        "evaluate", f"--run_dir={finished}", "--analysis=log_likelihood", "--target=imag"
    )
    assert_one_line(result, "imag")


def test_places_of_data_are_kept_absolute():
    """A run can be evaluated from another working directory."""
    code = (
        "from tf_mvae import train; train.FLAGS(['train', '--experiment=celeba19', "
        "'--data_dir=gs://b/data', '--dataset_dir=faces/1.0.0']); found = train.config_of_flags(); "
        "print(found.data_dir, found.dataset_dir)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    expected = ["gs://b/data", str(pathlib.Path("faces/1.0.0").absolute())]
    assert printed.stdout.split() == expected, printed.stderr


def test_generate_prints_the_numbers_of_a_run_without_pictures(tmp_path, training_alone):
    config = RunConfig(
        "sensors", latent_dim=3, epochs=1, batch_size=1000, num_modalities=3, jit_compile=False
    )
    run_dir = tmp_path / "my run"
    train(config, run_dir)
    result = processes.run("-m", "tf_mvae.generate", f"--run_dir={run_dir}", "--num_samples=5")
    assert result.returncode == 0, result.stderr
    for words in ("deviation", "sensor_0", "sensor_2", "5 samples given the prior"):
        assert words in result.stdout
    result = processes.run("-m", "tf_mvae.generate", f"--run_dir={run_dir}", "--output=x.png")
    assert_one_line(result, "--output", "leave it out")


def test_commands_to_copy_are_quoted(finished, tmp_path, nothing_exported, capsys):
    run_dir = shutil.copytree(finished, tmp_path / "my run")
    (run_dir / "finished.json").unlink()
    train(CONFIG, run_dir)
    lines = capsys.readouterr().out.splitlines()
    (printed,) = [line for line in lines if "tf_mvae.generate" in line]
    flags = shlex.split(printed)[-2:]
    assert flags == [f"--run_dir={run_dir}", "--condition=label=2"]  # a class that there is
    (printed,) = [line for line in lines if "tf_mvae.evaluate" in line]
    assert shlex.split(printed)[-1] == f"--run_dir={run_dir}"
