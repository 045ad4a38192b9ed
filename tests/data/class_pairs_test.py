"""Pairs of one class from two data sets."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tests.data.tiny_builder import write_dataset, write_mnist
from tf_mvae import experiments
from tf_mvae.data.class_pairs import match_classes
from tf_mvae.data.pairing import RepeatedValues
from tf_mvae.errors import UserError
from tf_mvae.experiments import image_pairs
from tf_mvae.training import RunConfig
from tf_mvae.training.incomplete import incomplete_split

HALVES = {"train": "train[:50%]", "validation": "train[50%:]", "test": "test"}


def write_others(path, shape):
    """Writes 30 images of single grey levels, 0 to 29, with the labels 9 to 0, again and again."""
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=shape),
            "label": tfds.features.ClassLabel(num_classes=10),
            "id": tfds.features.Text(),  # TFDS's SVHN has it
        }
    )
    rows = [
        {"image": np.full(shape, i, np.uint8), "label": 9 - i % 10, "id": str(i)} for i in range(30)
    ]
    write_dataset(path, features, {"train": rows, "test": rows})


def test_each_example_is_paired_as_often_as_asked_for_with_one_of_its_class():
    first, second = np.array([0, 1, 0, 1, 0, 2]), np.array([1, 0, 0, 1, 1, 3])
    pairs = match_classes(first, second, 3, np.random.default_rng(0))
    assert (first[pairs[:, 0]] == second[pairs[:, 1]]).all()
    assert np.bincount(pairs[:, 0], minlength=6).tolist() == [3, 3, 3, 3, 0, 0]
    assert np.bincount(pairs[:, 1], minlength=6).tolist() == [3, 3, 3, 3, 0, 0]
    assert len({tuple(pair) for pair in pairs.tolist()}) > 4
    with pytest.raises(UserError, match="no class in common"):
        match_classes(first, second + 9, 3, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("name", "other", "dataset", "shape"),
    [
        ("mnist_fashion", "garment", "fashion_mnist/3.0.1", (28, 28, 1)),
        ("mnist_svhn", "house_number", "svhn_cropped/3.1.0", (32, 32, 3)),
    ],
)
def test_an_experiment_reads_pairs_with_their_labels(name, other, dataset, shape, tmp_path):
    write_mnist(tmp_path, {"train": 60, "test": 20})
    write_others(tmp_path / dataset, shape)
    experiment = experiments.get(name)
    split, labels = (part("test", str(tmp_path)) for part in (experiment.load, experiment.labels))
    assert split.num_examples == len(labels) == 20
    assert [m.name for m in experiment.modalities({}, {})] == ["digit", other]
    for example, label in zip(split.dataset.as_numpy_iterator(), labels, strict=True):
        assert example["x"]["digit"][0, 0, 0] == 20 * (label + 1)
        assert example["x"][other].shape == shape
        assert 9 - example["x"][other][0, 0, 0] % 10 == label
    with pytest.raises(UserError, match="split must be one of .*; it is 'all'"):
        experiment.load("all", str(tmp_path))


@pytest.fixture(scope="module")
def svhn(tmp_path_factory):
    """A directory with 15 images of MNIST and of SVHN to train, and 15 to validate."""
    directory = tmp_path_factory.mktemp("svhn")
    write_mnist(directory, {"train": 30, "test": 20})
    write_others(directory / "svhn_cropped/3.1.0", (32, 32, 3))
    sources = {"digit": ("mnist", HALVES), "house_number": ("svhn_cropped", HALVES)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_pairs, "_MNIST_SVHN", sources)
        yield str(directory)


def test_only_training_repeats_images(svhn):
    experiment = experiments.get("mnist_svhn")
    for name, repeats in (("train", 30), ("validation", 1), ("test", 1)):
        split, labels = (part(name, svhn) for part in (experiment.load, experiment.labels))
        assert split.num_examples == len(labels)
        assert isinstance(split, RepeatedValues) == (name == "train")
        shown = [int(x["x"]["house_number"][0, 0, 0]) for x in split.dataset.as_numpy_iterator()]
        assert set(np.unique(shown, return_counts=True)[1]) == {repeats}


@pytest.mark.parametrize("hidden", [{"missing_rate": {"digit": 0.5}}, {"paired_fraction": 0.2}])
def test_an_image_is_hidden_for_good_or_not_at_all(svhn, hidden):
    config = RunConfig("mnist_svhn", data_dir=svhn, **hidden)
    with pytest.raises(UserError, match="--pairings=1 with --missing_rate, --paired_fraction"):
        incomplete_split(config, "train")
    config = RunConfig("mnist_svhn", data_dir=svhn, pairings=1, **hidden)
    split = incomplete_split(config, "train")
    assert 0 < split.presence["digit"].mean() < 1
    # Grey levels of house numbers are all different.
    seen = [x["x"]["house_number"].max() for x in split.dataset.as_numpy_iterator()]
    there = split.presence["house_number"] > 0
    assert len({int(level) for level in np.array(seen)[there]}) == there.sum()
    assert incomplete_split(config, "validation").num_examples > 0
