"""Loading a configuration's data."""

import dataclasses

import numpy as np
import pytest

from tests.training import tiny_experiment
from tf_mvae.data import evaluation_batches
from tf_mvae.data.binarization import binarize
from tf_mvae.experiments import registry
from tf_mvae.settings import EXPERIMENTS
from tf_mvae.training import RunConfig
from tf_mvae.training.splits import load_split


def config_of(model, **kwargs):
    return RunConfig("tiny", model=model, latent_dim=3, **kwargs)


@pytest.fixture
def binary_experiment(monkeypatch):
    """The tiny experiment, with images that are binarised again in every epoch."""
    plain = registry.get("tiny")
    binary = dataclasses.replace(
        plain, load=lambda split, data_dir: binarize(plain.load(split, data_dir), "dynamic")
    )
    monkeypatch.setitem(EXPERIMENTS._items, "tiny", binary)


@pytest.mark.parametrize("name", ["image", "label"])
def test_a_vaes_split_is_the_others_with_its_modality_alone(binary_experiment, name):
    whole = load_split(config_of("mvae"), "test")
    part = load_split(config_of("vae", modality=name), "test")
    assert part.num_examples == whole.num_examples == tiny_experiment.SIZES["test"]
    (values,) = evaluation_batches(part, 20, seed=3)
    (expected,) = evaluation_batches(whole, 20, seed=3)
    assert list(values["x"]) == [name] and set(expected["x"]) == {"image", "label"}
    np.testing.assert_array_equal(values["x"][name], expected["x"][name])
    assert set(np.unique(expected["x"]["image"])) == {0, 255}
