"""A model with a group, exported: its signatures agree with the model."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tf_mvae import MVAE, Modality, ModalityGroup, likelihoods
from tf_mvae.evaluation import ImportanceSampler
from tf_mvae.layers import grouped_mlp_decoder, grouped_mlp_encoder, mlp_decoder, mlp_encoder
from tf_mvae.serving import export_saved_model


@pytest.fixture(scope="module")
def model():
    networks = grouped_mlp_encoder([4], num_classes=2), grouped_mlp_decoder([], [4])
    reading = likelihoods.Normal([3])
    return MVAE(
        [
            Modality("reading", reading, mlp_encoder([4]), mlp_decoder([3], [4])),
            ModalityGroup("traits", ["a", "b", "c"], likelihoods.Bernoulli([]), *networks),
        ],
        latent_dim=2,
    )


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "model"
    export_saved_model(model, path)
    return path


def test_signatures_take_members_masks_and_agree_with_the_model(model, folder):
    rng = np.random.default_rng(0)
    x = {
        "reading": rng.normal(size=[5, 3]).astype(np.float32),
        "traits": rng.integers(0, 2, [5, 3]).astype(np.float32),
    }
    mask = {
        "reading": np.array([1, 1, 0, 0, 1], np.float32),
        "traits": rng.integers(0, 2, [5, 3]).astype(np.float32),
    }
    served = tf.saved_model.load(str(folder)).signatures
    given = {**x, **{f"{name}_mask": value for name, value in mask.items()}}
    given = {name: tf.constant(value) for name, value in given.items()}
    found = served["encode"](**given)
    tiny.assert_close(found["loc"], model.posterior(x, mask).mean())
    draws = {"num_samples": tf.constant(3), "seed": tf.constant([1, 2])}
    found = served["generate"](**given, **draws, temperature=tf.constant(1.0))
    expected = model.generate(x, 3, mask, seed=[1, 2])
    tiny.assert_close(found["traits"], expected["traits"])
    assert found["traits"].shape == (3, 5, 3)
    estimate = served["log_likelihood"](**given, **draws)["log_likelihood"]
    sampler = ImportanceSampler(model, 3, jit_compile=False)
    ours = sampler({"x": x, "mask": mask}, seed=[1, 2]).log_likelihood
    tiny.assert_close(estimate, ours, 1e-4, 1e-4)


def test_the_description_names_the_members(folder):
    told = json.loads((folder / "assets.extra" / "tf_mvae.json").read_text())
    traits = told["modalities"]["traits"]
    assert traits["members"] == ["a", "b", "c"] and traits["likelihood"] == "Bernoulli"
    assert "members" not in told["modalities"]["reading"]
    inputs = told["signatures"]["encode"]["inputs"]
    assert inputs["traits_mask"]["shape"] == ["batch", 3]
    assert told["signatures"]["decode"]["outputs"]["traits"]["high"] == 1
