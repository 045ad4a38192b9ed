"""A trainable layer belongs to one modality of one model."""

import keras
import numpy as np
import pytest

from tests import tiny
from tf_mvae import CVAE, JMVAE, MVAE, TELBO, Modality, ModalityGroup, UserError, likelihoods
from tf_mvae.layers import mlp_decoder, mlp_encoder


def reading(name="reading", **kwargs):
    networks = {"encoder": mlp_encoder([4]), "decoder": mlp_decoder([3], [4]), **kwargs}
    return Modality(name, likelihoods.Normal([3]), **networks)


@pytest.mark.parametrize("make", [MVAE, CVAE, TELBO])
def test_modalities_are_refused_by_a_second_model(make):
    modalities = [reading("a"), reading("b")]
    model = make(modalities, 2)
    weights = model.get_weights()
    for other in (2, 3):
        with pytest.raises(UserError, match="'a' belongs to a model already.*make new"):
            MVAE(modalities, other)
    tiny.assert_close(model.get_weights(), weights, 0, 0)


def test_groups_are_refused_by_a_second_model():
    group = ModalityGroup("s", ["a", "b"], likelihoods.Normal([]))
    MVAE([group, reading()], 2)
    with pytest.raises(UserError, match="'s' belongs to a model already"):
        MVAE([group, reading()], 2)


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_a_network_is_refused_by_a_second_modality(part):
    network = mlp_encoder([4]) if part == "encoder" else mlp_decoder([3], [4])
    with pytest.raises(UserError, match="'b' has the layer .* which modality 'a' has already"):
        MVAE([reading("a", **{part: network}), reading("b", **{part: network})], 2)
    with pytest.raises(UserError, match="'c' has the layer .* which modality 'a' has already"):
        MVAE([reading("c", **{part: network})], 2)


def test_trunks_are_refused_by_a_second_model():
    trunk = mlp_encoder([4])
    with pytest.raises(UserError, match="the trunk of 'b' has the layer"):
        JMVAE([reading("a"), reading("b")], 2, trunks={"a": trunk, "b": trunk})
    CVAE([reading("a"), reading("b")], 2, trunk=mlp_encoder([4]), units=[4])
    used = mlp_encoder([4])
    CVAE([reading("a"), reading("b")], 2, trunk=used, units=[4])
    with pytest.raises(UserError, match="the trunk has the layer"):
        CVAE([reading("a"), reading("b")], 2, trunk=used, units=[4])


def test_a_layer_that_is_not_trained_may_be_shared():
    encoder = keras.Sequential([keras.Input([3]), keras.layers.Dense(4)])  # trained elsewhere
    encoder.trainable = False
    for name in ("a", "b"):
        model = MVAE([reading(name, encoder=encoder)], 2)
        assert np.isfinite(model.elbo({name: np.zeros([2, 3], np.float32)}).loss)


def test_a_loaded_model_and_its_original_have_layers_of_their_own(tmp_path):
    model = MVAE([reading("a"), reading("b")], 2)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    tiny.assert_close(loaded.get_weights(), model.get_weights(), 0, 0)


def test_a_mistake_in_another_argument_leaves_modalities_usable():
    modalities = [reading("a"), reading("b")]
    for wrong in ({"num_random_subsets": 1}, {"latent_dim": 0}, {"term_weight": {"c": 1}}):
        with pytest.raises(ValueError, match="subsets|latent_dim|term_weight"):
            MVAE(modalities, **{"latent_dim": 2, **wrong})
    assert MVAE(modalities, 2).latent_dim == 2
