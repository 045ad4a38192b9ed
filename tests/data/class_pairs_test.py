"""Pairs of one class from two data sets."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tests.data.tiny_builder import write_dataset, write_mnist
from tf_mvae import experiments
from tf_mvae.data.class_pairs import match_classes
from tf_mvae.errors import UserError


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
    ("name", "other", "dataset", "shape", "pairs"),
    [
        ("mnist_fashion", "garment", "fashion_mnist/3.0.1", (28, 28, 1), 20),
        ("mnist_svhn", "house_number", "svhn_cropped/3.1.0", (32, 32, 3), 600),
    ],
)
def test_an_experiment_reads_pairs_with_their_labels(name, other, dataset, shape, pairs, tmp_path):
    write_mnist(tmp_path, {"train": 60, "test": 20})
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
    write_dataset(tmp_path / dataset, features, {"train": rows, "test": rows})
    experiment = experiments.get(name)
    split, labels = (part("test", str(tmp_path)) for part in (experiment.load, experiment.labels))
    assert split.num_examples == len(labels) == pairs
    assert [m.name for m in experiment.modalities({}, {})] == ["digit", other]
    for example, label in zip(split.dataset.as_numpy_iterator(), labels, strict=True):
        assert example["x"]["digit"][0, 0, 0] == 20 * (label + 1)
        assert example["x"][other].shape == shape
        assert 9 - example["x"][other][0, 0, 0] % 10 == label
    with pytest.raises(UserError, match="split must be one of .*; it is 'all'"):
        experiment.load("all", str(tmp_path))
