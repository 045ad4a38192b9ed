"""MultiMNIST: canvases show their strings, and are drawn once."""

import numpy as np
import pytest

from tests.data.tiny_builder import write_mnist
from tf_mvae import experiments
from tf_mvae.data import multi_mnist as module
from tf_mvae.data.multi_mnist import MOST_DIGITS, WORDS, DigitString, MultiMnist, multi_mnist
from tf_mvae.errors import UserError
from tf_mvae.ops.tokens import END, FIRST_WORD, PAD


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    write_mnist(directory, {"train": 40, "test": 20})
    small = {"train": (200, "train[:30]"), "validation": (20, "train[30:]"), "test": (30, "test")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_SPLITS", small)
        yield str(directory)


def read_off(image):
    """Returns the digits of a canvas of `write_mnist`'s images, from its grey levels."""
    quarters = [
        image[row : row + 25, column : column + 25] for row in (0, 25) for column in (0, 25)
    ]
    for quarter in quarters:
        assert (quarter == quarter[0, 0]).all()
    levels = [int(quarter[0, 0, 0]) for quarter in quarters]
    return [level // 20 - 1 for level in levels]


def test_canvases_say_what_their_strings_say(data_dir):
    examples = [e["x"] for e in multi_mnist("train", data_dir).dataset.as_numpy_iterator()]
    assert len(examples) == 200
    lengths = []
    for example in examples:
        assert example["image"].shape == (50, 50, 1)
        seen = read_off(example["image"])
        length = sum(digit >= 0 for digit in seen)
        assert seen[length:] == [-1] * (MOST_DIGITS - length)
        expected = [FIRST_WORD + digit for digit in seen[:length]] + [END]
        expected += [PAD] * (MOST_DIGITS - length)
        np.testing.assert_array_equal(example["text"], expected)
        assert "".join(WORDS[i] for i in example["text"][:length]) == "".join(
            map(str, seen[:length])
        )
        ids, cut = DigitString().encode(["".join(map(str, seen[:length]))], MOST_DIGITS + 1)
        np.testing.assert_array_equal(ids, [example["text"]])
        assert ids.dtype == np.int32 and cut == 0
        lengths.append(length)
    counts = np.bincount(lengths, minlength=5)
    assert counts.shape == (5,) and (np.abs(counts - 40) < 25).all()  # 4.4 standard deviations


def test_splits_are_fixed_and_made_once(data_dir, monkeypatch):
    def texts(split):
        return [
            e["x"]["text"].tolist()
            for e in multi_mnist(split, data_dir).dataset.as_numpy_iterator()
        ]

    first = {split: texts(split) for split in ("train", "validation", "test")}
    assert [len(rows) for rows in first.values()] == [200, 20, 30]
    monkeypatch.setattr(MultiMnist, "_generate_examples", None)  # it would fail if called again
    assert {split: texts(split) for split in first} == first


@pytest.mark.parametrize("text", ["12345", "12a", " ", "-1", "1 2", "½", "٣", "start", "end"])
def test_what_is_no_string_of_digits_is_refused(text):
    with pytest.raises(UserError) as error:
        DigitString().encode(["12", text], MOST_DIGITS + 1)
    assert str(error.value) == f"{text!r} is no string of 0 to 4 digits, as 1234 or nothing is"


def test_without_mnist_there_is_one_line(tmp_path):
    with pytest.raises(UserError, match="data set 'mnist' is not prepared"):
        experiments.get("multi_mnist").load("train", str(tmp_path))
