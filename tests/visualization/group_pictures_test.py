"""Figures and texts of groups of attributes."""

import numpy as np
import pytest
import tensorflow as tf

from tf_mvae import MVAE, Modality, ModalityGroup, likelihoods
from tf_mvae.layers import grouped_mlp_decoder, grouped_mlp_encoder, mlp_decoder, mlp_encoder
from tf_mvae.visualization import condition_figure, write_pictures
from tf_mvae.visualization.pictures import most_probable

MEMBERS = ["bright", "dark", "round"]


@pytest.fixture(scope="module")
def model():
    image = likelihoods.Bernoulli([4, 4, 3])
    networks = grouped_mlp_encoder([4], num_classes=2), grouped_mlp_decoder([], [4])
    return MVAE(
        [
            Modality("image", image, mlp_encoder([4]), mlp_decoder([4, 4, 3], [4])),
            ModalityGroup("traits", MEMBERS, likelihoods.Bernoulli([]), *networks),
        ],
        latent_dim=2,
    )


def test_images_given_attributes_and_attributes_given_images(model, tmp_path):
    rng = np.random.default_rng(0)
    batch = {
        "x": {
            "image": rng.integers(0, 256, [9, 4, 4, 3]).astype(np.uint8),
            "traits": rng.integers(0, 2, [9, 3]).astype(np.float32),
        },
        "mask": {"image": np.ones(9), "traits": np.zeros([9, 3])},
    }
    paths = {path.stem: path for path in write_pictures(model, batch, tmp_path)}
    assert set(paths) == {
        "samples", "reconstructions", "image_given_traits", "traits_given_image",
    }  # fmt: skip
    for path in paths.values():
        picture = tf.io.decode_png(path.read_bytes()).numpy()
        assert picture.min() < picture.max()


def test_a_condition_on_a_member_tells_the_others(model):
    given = {"round": np.ones([1], np.float32)}
    figure, generated = condition_figure(model, given, 8, "round")
    assert figure is not None and generated["image"].shape == (8, 4, 4, 3)
    ((name, words),) = most_probable(model, given, generated)
    share = generated["traits"].mean(0)
    assert name == "traits"
    assert words == f"bright {share[0]:.1%}, dark {share[1]:.1%}"
