"""The signature `impute` equals `model.impute`, with the same random numbers."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests import tiny
from tests.models.element_masks_test import make_batch, make_model
from tf_mvae import CVAE, MVAE, VAE, Modality, ModalityGroup, likelihoods
from tf_mvae.batch import unpack
from tf_mvae.layers import mlp_decoder, mlp_encoder
from tf_mvae.samplers import MixtureDensity
from tf_mvae.serving import example_inputs, export_saved_model
from tf_mvae.serving.imputation import can_impute
from tf_mvae.serving.imputation import impute as fill
from tf_mvae.serving.parts import Parts

QUANTILES = (0.1, 0.5, 0.8)


def assert_agrees(answer, expected):
    """Compares outputs with a dict of `Imputation`s."""
    known = set()
    for name, found in expected.items():
        wanted = {"filled": found.filled, "quantiles": np.stack([*found.quantiles.values()], 1)}
        if np.isfinite(found.standard_deviation).any():
            wanted["standard_deviation"] = found.standard_deviation
        for place, chances in found.probabilities.items():
            several = found.mean.ndim > 1
            wanted[f"probabilities_{place}" if several else "probabilities"] = chances
        for what, value in wanted.items():
            np.testing.assert_allclose(answer[f"{what}_{name}"], value, rtol=2e-4, atol=1e-5)
            known.add(f"{what}_{name}")
    assert known == set(answer)


def as_inputs(batch):
    """Returns data and masks as exports take them, and how much is drawn."""
    x = {name: tf.cast(value, tf.float32) for name, value in batch["x"].items()}
    x["image"] /= 255
    x["table"] = tf.where(batch["mask"]["table"] > 0, x["table"], np.nan)
    masks = {f"{name}_mask": tf.constant(mask) for name, mask in batch["mask"].items()}
    return x, masks, {"num_samples": tf.constant(20), "seed": tf.constant([4, 5])}


def test_a_saved_model_fills_elements_as_the_model_does(tmp_path):
    model, batch = make_model(), make_batch()
    model.set_sampler(MixtureDensity(model.latent_dim, model.num_columns, 2, width=4))
    export_saved_model(model, tmp_path / "model")
    served = tf.saved_model.load(str(tmp_path / "model")).signatures
    assert "impute_all_present" not in served
    x, masks, draws = as_inputs(batch)
    answer = served["impute"](**x, **masks, **draws, quantiles=tf.constant(QUANTILES))
    expected = model.impute({**batch, "x": x}, 20, QUANTILES, seed=[4, 5])
    assert_agrees(answer, expected)
    other = model.impute({**batch, "x": x}, 20, QUANTILES, seed=[4, 5], latents="posterior")
    assert not np.allclose(expected["counts"].mean, other["counts"].mean)
    described = json.loads((tmp_path / "model/assets.extra/tf_mvae.json").read_text())
    fields = described["signatures"]["impute"]
    assert set(fields["outputs"]) == set(answer)
    assert fields["inputs"]["quantiles"]["default"] == pytest.approx([0.05, 0.5, 0.95])
    assert fields["outputs"]["quantiles_counts"]["low"] == 0
    given = {k: tf.constant(v) for k, v in example_inputs(described, "impute", 3).items()}
    full = served["impute"](**given)
    np.testing.assert_allclose(full["filled_counts"], given["counts"])
    with pytest.raises(tf.errors.InvalidArgumentError, match="quantiles must be"):
        served["impute"](**x, **masks, **draws, quantiles=tf.constant([0.1, 0.5, 1.0]))


def test_a_saved_model_refines_posteriors_as_the_model_does(tmp_path):
    model, batch = make_model(), make_batch()
    model.default_latents = "refined"
    export_saved_model(model, tmp_path / "model")
    served = tf.saved_model.load(str(tmp_path / "model")).signatures["impute"]
    x, masks, draws = as_inputs(batch)
    answer = served(**x, **masks, **draws, quantiles=tf.constant(QUANTILES))
    how = {"num_samples": 20, "quantiles": QUANTILES, "seed": [4, 5]}
    assert_agrees(answer, model.impute({**batch, "x": x}, **how))
    other = model.impute({**batch, "x": x}, **how, latents="posterior")
    assert not np.allclose(answer["filled_counts"], other["counts"].filled)


@pytest.mark.parametrize("conditional", [False, True])
def test_whole_modalities_are_filled_given_conditions(conditional):
    model = tiny.make_any(CVAE) if conditional else tiny.make_model()
    present = tiny.all_patterns(3)
    if conditional:
        present[:, 1:] = 1
    batch = tiny.make_batch(present)
    x, mask = unpack(batch, model.modalities)
    call = tf.function(
        lambda x, mask: fill(Parts(model), x, mask, 7, tf.constant(QUANTILES), [1, 2])
    )
    assert_agrees(call(x, mask), model.impute(batch, 7, QUANTILES, seed=[1, 2]))


@pytest.mark.parametrize("members", [("a", "b"), ("a",)])
def test_columns_of_a_groups_members_are_filled(members):
    columns = likelihoods.Columns([likelihoods.Normal([2]), likelihoods.Categorical(3)])
    model = MVAE([ModalityGroup("g", members, columns), Modality("y", columns)], latent_dim=2)
    rng = np.random.default_rng(0)
    shape = [5, len(members), 3]
    batch = {
        "x": {
            "g": rng.integers(0, 3, shape).astype(np.float32),
            "y": np.ones([5, 3], np.float32),
        },
        "mask": {"g": rng.integers(0, 2, shape[:2]).astype(np.float32), "y": np.ones(5, "f4")},
    }
    x, mask = unpack(batch, model.modalities)
    answer = fill(Parts(model), x, mask, 7, tf.constant(QUANTILES), [1, 2])
    assert answer["probabilities_2_g"].shape == shape
    assert_agrees(answer, model.impute(batch, 7, QUANTILES, seed=[1, 2]))


def test_what_cannot_be_sampled_is_not_offered():
    class NoSamples(tfp.distributions.Normal):
        def _sample_n(self, *args, **kwargs):
            raise NotImplementedError

    def make(parameters):
        return tfp.distributions.Independent(NoSamples(parameters, 1.0), 1)

    for likelihood, offered in (
        (likelihoods.CallableLikelihood(make, [3]), False),
        (likelihoods.Normal([3]), True),
    ):
        model = VAE([Modality("thing", likelihood, mlp_encoder([4]), mlp_decoder([3], [4]))], 2)
        assert can_impute(model) == offered
