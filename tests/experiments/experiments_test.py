"""Experiments: the paper's networks, and their configs."""

import pathlib

import numpy as np
import pytest

from tf_mvae import experiments
from tf_mvae.errors import UserError
from tf_mvae.training import RunConfig
from tf_mvae.training.build import build_model
from tf_mvae.training.config import parse_weights
from tf_mvae.training.sweeping import parse_methods, parse_numbers

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
SWEEPS = sorted(p for p in CONFIGS.rglob("*.cfg") if "--methods=" in p.read_text())
RUNS = sorted(set(CONFIGS.rglob("*.cfg")) - set(SWEEPS))

# Wu and Goodman, NeurIPS 2018, Table 1: parameters of the inference network.
_MNIST = {
    "vae": 730_240,
    "cvae": 735_360,
    "bivcca": 1_063_680,
    "jmvae": 2_061_184,
    "mvae_q": 1_063_680,
    "mvae": 1_063_680,
}
TABLE_1 = {
    "mnist": _MNIST,
    "binary_mnist": _MNIST,
    "fashion_mnist": {
        "vae": 3_409_536,
        "cvae": 3_414_656,
        "bivcca": 3_742_976,
        "jmvae": 7_682_432,
        "mvae_q": 3_742_976,
        "mvae": 3_742_976,
    },
}


def number_of(variables):
    return sum(int(np.prod(variable.shape)) for variable in variables)


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [(name, kind, number) for name, row in TABLE_1.items() for kind, number in row.items()],
)
def test_inference_networks_have_the_papers_parameters(name, kind, expected):
    model = build_model(RunConfig(experiment=name, model=kind), 10)
    decoders = sum(number_of(m.decoder.trainable_variables) for m in model.targets)
    assert number_of(model.trainable_variables) - decoders == expected


def test_an_unknown_experiment_lists_those_there_are():
    with pytest.raises(UserError, match="digits.*mnist"):
        experiments.get("mnits")


def read_flags(path):
    """Reads a config's flags: own-line comments, one flag a line."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    return dict(line.removeprefix("--").split("=", 1) for line in lines)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_config_of_a_sweep_names_what_there_is(path, monkeypatch):
    monkeypatch.chdir(CONFIGS.parent)
    flags = read_flags(path)
    assert flags["experiment"] in experiments.names()
    assert "mvae" in parse_methods(flags["methods"].split(","))
    fractions = parse_numbers("fractions", flags["fractions"].split(","), float)
    assert fractions == tuple(sorted(fractions)) and fractions[-1] == 1


@pytest.mark.parametrize("path", RUNS, ids=lambda path: f"{path.parent.stem}-{path.stem}")
def test_every_config_builds_its_model(path, tmp_path):
    flags = {"experiment": "mnist", **read_flags(path)}  # a config may be put behind another
    flags.pop("run_dir", None)
    text = "".join(f"--{name}={value}\n" for name, value in flags.items())
    (tmp_path / "flags.cfg").write_text(text)
    model = build_model(RunConfig.read(tmp_path / "flags.cfg"), steps_per_epoch=10)
    likelihood, cross = (
        parse_weights(flags[name].split(",")) if name in flags else {}
        for name in ("likelihood_weight", "cross_weight")
    )
    for modality in model.modalities:
        weight = likelihood.get(modality.name, 1.0)
        assert modality.likelihood_weight == weight
        assert modality.cross_weight == cross.get(modality.name, weight)
    assert type(model).__name__.lower() == flags.get("model", "mvae").replace("_", "")


@pytest.mark.parametrize("name", ["mnist", "binary_mnist", "fashion_mnist"])
def test_the_papers_settings(name):
    flags = read_flags(CONFIGS / name / "mvae.cfg")
    assert flags["latent_dim"] == "64"
    assert flags["likelihood_weight"] == "image=1,label=50"
    assert flags["cross_weight"] == "image=0,label=0"
    assert (flags["epochs"], flags["annealing_epochs"]) == ("500", "200")
    assert (flags["batch_size"], flags["learning_rate"]) == ("100", "1e-3")
