"""Parsing of `--condition` values."""

import numpy as np
import pytest
import tensorflow as tf

from tf_mvae.data.conditions import parse_conditions
from tf_mvae.distributions import likelihoods
from tf_mvae.errors import UserError
from tf_mvae.layers import RecurrentDecoder
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


class Letters:
    """A stand-in for a tokeniser: spells a, b and c; a blank has no symbol."""

    def encode(self, sentences, length):
        (text,) = sentences
        if not set(text) <= set("abc "):
            raise UserError(f"{text!r} is not spelled with a, b and c")
        said = [3 + "abc".index(letter) for letter in text.strip()]
        ids = [] if text.isspace() else [*said, 2]
        return np.array([(ids + [0] * length)[:length]], np.int32), len(ids) > length


SPELLED = [*MODALITIES, Modality("word", likelihoods.TokenSequence(6, 4, RecurrentDecoder(6)))]


@pytest.mark.parametrize(
    ("text", "ids"), [("word=cab", [5, 3, 4, 2]), ("word=a", [3, 2, 0, 0]), ("word=", [2, 0, 0, 0])]
)
def test_text_as_a_tokenizer_spells_it(text, ids):
    assert parse_conditions([text], SPELLED, {"word": Letters()})["word"].tolist() == [ids]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("word=bad", "condition 'word=bad': 'bad' is not spelled with a, b and c"),
        ("word=abca", "condition 'word=abca' has more than the 4 symbols that the model reads"),
        ("word= ", "condition 'word= ' says nothing: write a sentence, or leave it out"),
        ("label=", "a condition is written NAME=VALUE, as in label=7; 'label=' is not"),
        (
            "reading=1",
            "condition 'reading=1': only classes, images, single numbers and text can be given",
        ),
    ],
)
def test_mistakes_beside_text_are_named(text, message):
    with pytest.raises(UserError) as error:
        parse_conditions([text], SPELLED, {"word": Letters()})
    assert str(error.value) == message


@pytest.mark.parametrize("text", ["word=cab", "reading=1"])
def test_text_is_not_promised_where_nothing_spells_it(text):
    with pytest.raises(UserError, match="only classes, images and single numbers can be given"):
        parse_conditions([text], SPELLED)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("label", "NAME=VALUE"),
        ("label=", "NAME=VALUE"),
        ("lable=1", "image, label, reading"),  # codespell:ignore lable
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
