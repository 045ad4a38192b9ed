"""PolyMNIST: tuples of different drawings of one class, each inverted on its background."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tests.data.tiny_builder import write_dataset
from tf_mvae.data import poly_mnist as module
from tf_mvae.data.backgrounds import procedural
from tf_mvae.data.poly_mnist import (
    NAMES,
    PolyMnist,
    different_drawings,
    draw,
    find_hash,
    poly_mnist,
    poly_mnist_labels,
)
from tf_mvae.errors import UserError

SIZES = {"train": 160, "test": 60}


def drawing(index):
    """Returns an image with a bar, whose column is the class, and a pixel of the example's own."""
    image = np.zeros([28, 28, 1], np.uint8)
    image[2:20, 2 * (index % 10) + 4] = 255
    image[22 + index // 10 // 20, index // 10 % 20 + 4] = 255
    return {"image": image, "label": index % 10}


def write_bars(data_dir):
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(28, 28, 1)),
            "label": tfds.features.ClassLabel(num_classes=10),
        }
    )
    splits = {name: [drawing(i) for i in range(size)] for name, size in SIZES.items()}
    write_dataset(data_dir / "mnist" / "3.0.1", features, splits)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    write_bars(directory)
    small = {"train": "train[:100]", "validation": "train[100:]", "test": "test"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_SPLITS", small)
        yield str(directory)


def packed(pixels):
    """Returns each pixel as one number."""
    return np.asarray(pixels, int) @ [2**16, 2**8, 1]


INVERSES = {name: np.unique(packed(255 - t)) for name, t in zip(NAMES, procedural(), strict=True)}


def test_a_tuple_shows_different_drawings_of_its_label(data_dir):
    split, labels = poly_mnist("train", data_dir), poly_mnist_labels("train", data_dir)
    examples = [example["x"] for example in split.dataset.as_numpy_iterator()]
    assert len(examples) == split.num_examples == len(labels) == 100
    assert labels.dtype == np.int32 and set(labels) == set(range(10))
    seen = {name: [] for name in NAMES}
    for example, label in zip(examples, labels, strict=True):
        marks = [np.isin(packed(example[name]), INVERSES[name]) for name in NAMES]
        for mark in marks:
            assert np.flatnonzero(mark[2:20].all(0)).tolist() == [2 * label + 4]
        own = [tuple(np.argwhere(mark[21:])[0]) for mark in marks]
        assert len(set(own)) == len(NAMES)
        for name, place in zip(NAMES, own, strict=True):
            seen[name].append((label, place))
    for drawings in seen.values():  # a modality has each drawing once
        assert len(set(drawings)) == 100
    assert len({tuple(drawings) for drawings in seen.values()}) == len(NAMES)


def test_tuples_are_fixed_and_made_once(data_dir, monkeypatch):
    def bytes_of(**options):
        dataset = poly_mnist("test", data_dir, **options).dataset
        return [e["x"]["m3"].tobytes() for e in dataset.as_numpy_iterator()]

    first = bytes_of()
    monkeypatch.setattr(PolyMnist, "_generate_examples", None)  # it would fail if called again
    monkeypatch.setattr(module.backgrounds_, "procedural", None)
    assert bytes_of(background_hash=HASH) == first


HASH = find_hash()


def test_other_backgrounds_than_the_runs_are_refused(data_dir):
    with pytest.raises(UserError, match="of this package have the hash .*: give the folder"):
        poly_mnist("test", data_dir, background_hash="0" * 64)
    with pytest.raises(UserError, match="--backgrounds=nowhere is not a folder"):
        poly_mnist("test", data_dir, backgrounds="nowhere")
    with pytest.raises(UserError, match="data set 'mnist' is not prepared"):
        poly_mnist("test", data_dir + "/mnist")


def test_a_translated_digit_is_smaller_and_elsewhere():
    rng = np.random.default_rng(0)
    square = np.zeros([28, 28], np.uint8)
    square[4:24, 4:24] = 255
    places = set()
    for _ in range(20):
        small = module._smaller(square[np.newaxis])[0]
        rows, columns = np.nonzero(module._placed(small, rng) > 127)
        assert np.ptp(rows) + 1 == np.ptp(columns) + 1 == 15
        places.add((rows.min(), columns.min()))
    assert len(places) > 10


def test_a_digit_is_the_inverted_background():
    background, rng = procedural()[3], np.random.default_rng(1)
    levels = np.array([[0, 127], [128, 255]], np.uint8).repeat(14, 0).repeat(14, 1)
    picture = draw(levels, background, rng)
    crops = [
        background[y : y + 28, x : x + 28]
        for y in range(229)
        for x in range(229)
        if (background[y, x] == picture[0, 0]).all()
    ]
    same = [c for c in crops if (c[:14] == picture[:14]).all()]
    assert any((255 - crop[14:] == picture[14:]).all() for crop in same)


def test_classes_that_are_too_small_are_refused():
    rows = different_drawings(np.array([0, 1] * 5), 5, np.random.default_rng(0))
    assert all(len(set(row)) == 5 for row in rows.tolist())
    with pytest.raises(UserError, match="class 1 has 4 examples; tuples of different ones need 5"):
        different_drawings(np.array([0] * 5 + [1] * 4), 5, np.random.default_rng(0))
