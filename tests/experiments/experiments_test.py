"""Experiments: the paper's networks, and their configs."""

import pathlib

import numpy as np
import pytest

from tf_mvae import experiments
from tf_mvae.errors import UserError
from tf_mvae.models import MVAE
from tf_mvae.training import RunConfig
from tf_mvae.training.run import build_model

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"

# Wu and Goodman, NeurIPS 2018, Table 1: parameters of the inference network.
TABLE_1 = {
    "mnist": {"VAE": 730_240, "MVAE": 1_063_680},
    "binary_mnist": {"VAE": 730_240, "MVAE": 1_063_680},
    "fashion_mnist": {"VAE": 3_409_536, "MVAE": 3_742_976},
}


def inference_parameters(modality):
    weights = (*modality.encoder.trainable_variables, *modality.expert_head.trainable_variables)
    return sum(int(np.prod(variable.shape)) for variable in weights)


@pytest.mark.parametrize("name", TABLE_1)
def test_inference_networks_have_the_papers_parameters(name):
    model = MVAE(experiments.get(name).modalities({}, {}), latent_dim=64)
    counts = {modality.name: inference_parameters(modality) for modality in model.modalities}
    assert counts["image"] == TABLE_1[name]["VAE"]
    assert sum(counts.values()) == TABLE_1[name]["MVAE"]


def test_an_unknown_experiment_lists_those_there_are():
    with pytest.raises(UserError, match="digits.*mnist"):
        experiments.get("mnits")


def read_flags(path):
    """Reads a config's flags: own-line comments, one flag a line."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    return dict(line.removeprefix("--").split("=", 1) for line in lines)


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.cfg")), ids=lambda path: path.stem)
def test_every_config_builds_its_model(path, tmp_path):
    flags = read_flags(path)
    flags.pop("run_dir", None)
    text = "".join(f"--{name}={value}\n" for name, value in flags.items())
    (tmp_path / "flags.cfg").write_text(text)
    model = build_model(RunConfig.read(tmp_path / "flags.cfg"), steps_per_epoch=10)
    for modality in model.modalities:
        assert f"{modality.name}={modality.likelihood_weight:g}" in flags["likelihood_weight"]
        assert f"{modality.name}={modality.cross_weight:g}" in flags["cross_weight"]


@pytest.mark.parametrize("name", ["mnist", "binary_mnist", "fashion_mnist"])
def test_the_papers_settings(name):
    flags = read_flags(CONFIGS / name / "mvae.cfg")
    assert flags["latent_dim"] == "64"
    assert flags["likelihood_weight"] == "image=1,label=50"
    assert flags["cross_weight"] == "image=0,label=0"
    assert (flags["epochs"], flags["annealing_epochs"]) == ("500", "200")
    assert (flags["batch_size"], flags["learning_rate"]) == ("100", "1e-3")
