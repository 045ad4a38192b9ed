"""Conditions from a command line."""

import numpy as np
import pytest
import tensorflow as tf

from tf_mvae.data.conditions import parse_conditions
from tf_mvae.distributions import likelihoods
from tf_mvae.errors import UserError
from tf_mvae.modality import Modality

MODALITIES = [
    Modality("image", likelihoods.Bernoulli([4, 4, 1])),
    Modality("label", likelihoods.Categorical(3, ["cat", "dog", "hen"])),
    Modality("reading", likelihoods.Normal([2])),
]


@pytest.mark.parametrize("text", ["label=dog", "label=1"])
def test_a_class_by_name_or_number(text):
    assert parse_conditions([text], MODALITIES)["label"].tolist() == [1]


def test_an_image_is_scaled_to_the_modality(tmp_path):
    path = tmp_path / "white.png"
    path.write_bytes(tf.io.encode_png(np.full([9, 7, 3], 255, np.uint8)).numpy())
    image = parse_conditions([f"image={path}"], MODALITIES)["image"]
    assert image.shape == (1, 4, 4, 1)
    np.testing.assert_allclose(image, 1.0, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("label", "NAME=VALUE"),
        ("label=", "NAME=VALUE"),
        ("lable=1", "image, label, reading"),
        ("label=cow", "cat, dog, hen"),
        ("label=3", "cat, dog, hen"),
        ("label=-1", "cat, dog, hen"),
        ("reading=1", "only classes, images"),
        ("image=/no/such.png", "/no/such.png"),
        (f"image={__file__}", "no PNG"),
    ],
)
def test_mistakes_are_named(text, word):
    with pytest.raises(UserError, match=word):
        parse_conditions([text], MODALITIES)
