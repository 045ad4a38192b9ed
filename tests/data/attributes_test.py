"""Images with attributes: CelebA's schema, the square crop, missing attributes."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tf_mvae import experiments
from tf_mvae.batch import check_arrays
from tf_mvae.data import attributes as module
from tf_mvae.data import evaluation_batches
from tf_mvae.data.attributes import (
    CELEBA_ATTRIBUTES,
    check_bytes,
    image_and_attributes,
    square,
)
from tf_mvae.data.split import Split
from tf_mvae.errors import UserError


@pytest.fixture(scope="session")
def dataset_dir(tmp_path_factory):
    """A small prepared data set of CelebA's shape, with three attributes."""
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "attributes": {name: np.bool_ for name in ("Smiling", "Round", "Male")},
        }
    )
    rng = np.random.default_rng(0)

    def example(index):
        return {
            "image": rng.integers(0, 256, [20, 16, 3]).astype(np.uint8),
            "attributes": {"Smiling": index % 2 == 0, "Round": True, "Male": index % 3 == 0},
        }

    folder = tmp_path_factory.mktemp("faces")
    splits = {
        name: [(index, example(index)) for index in range(6)]
        for name in ("train", "validation", "test")
    }
    tfds.dataset_builders.store_as_tfds_dataset(
        name="faces",
        version="1.0.0",
        features=features,
        split_datasets=splits,
        data_dir=folder,
        disable_shuffling=True,
    )
    return str(folder / "faces" / "1.0.0")


@pytest.mark.parametrize("name", ["celeba", "celeba19"])
def test_celebas_own_schema_is_read(name, monkeypatch):
    experiment = experiments.get(name)
    with tfds.testing.mock_data(num_examples=4):
        builder = tfds.builder("celeb_a")
        assert set(CELEBA_ATTRIBUTES) < set(builder.info.features["attributes"])
        assert builder.info.features["image"].shape == (218, 178, 3)
        monkeypatch.setattr(module, "chosen_builder", lambda *_: builder)
        # A mocked builder knows no number of examples.
        monkeypatch.setattr(
            module,
            "read",
            lambda b, _, split: Split(b.as_dataset(split=split, shuffle_files=False), 4),
        )
        batch = next(iter(evaluation_batches(experiment.load("test", None), 4)))
    assert batch["x"]["image"].shape == (4, 64, 64, 3) and batch["x"]["image"].dtype == tf.uint8
    assert batch["x"]["attributes"].shape == (4, 18)
    check_arrays(batch, experiment.modalities({}, {}))


def test_attributes_are_read_in_the_order_asked_for(dataset_dir):
    split = image_and_attributes("train", None, dataset_dir, ["Male", "Smiling"], size=8)
    (batch,) = evaluation_batches(split, 6)
    assert batch["x"]["attributes"].numpy().tolist() == [
        [float(index % 3 == 0), float(index % 2 == 0)] for index in range(6)
    ]
    assert batch["x"]["image"].shape == (6, 8, 8, 3)
    assert "mask" not in batch


def test_absent_attributes_are_an_error_or_masked_where_asked_for(dataset_dir):
    names = ["Male", "Wearing_Hat"]
    with pytest.raises(UserError, match="no attribute 'Wearing_Hat'; it has Male, Round, Smiling"):
        image_and_attributes("train", None, dataset_dir, names)
    split = image_and_attributes("train", None, dataset_dir, names, absent_attributes=True)
    (batch,) = evaluation_batches(split, 6)
    assert batch["mask"]["attributes"].numpy().tolist() == [[1.0, 0.0]] * 6
    assert split.presence["attributes"].tolist() == [[1.0, 0.0]] * 6
    assert split.presence["image"].tolist() == [1.0] * 6
    modalities = experiments.get("celeba19").modalities({}, {}, attributes=names)
    check_arrays(batch, modalities)
    with pytest.raises(UserError, match="none of the attributes Wearing_Hat"):
        image_and_attributes("train", None, dataset_dir, names[1:], absent_attributes=True)


def test_directories_that_are_none_are_named(tmp_path, digits_dir):
    with pytest.raises(UserError, match="no dataset_info.json"):
        image_and_attributes("train", None, str(tmp_path))
    experiments.get("digits").load("test", digits_dir)
    (info,) = pathlib.Path(digits_dir).glob("*/*/dataset_info.json")
    with pytest.raises(UserError, match="not an image with a dict of boolean attributes"):
        image_and_attributes("train", None, str(info.parent))


def test_pixels_that_are_no_bytes_are_refused():
    check_bytes("pictures", tfds.features.Image(shape=(4, 4, 3)))
    with pytest.raises(UserError, match="'pictures': pixels are uint16; write them as uint8"):
        check_bytes("pictures", tfds.features.Image(shape=(4, 4, 3), dtype=np.uint16))


def test_square_cuts_the_middle():
    image = np.zeros([10, 4, 3], np.uint8)
    image[3:7] = 200
    assert square(tf.constant(image), 4).numpy().tolist() == image[3:7].tolist()
    assert (
        square(tf.constant(image.swapaxes(0, 1)), 2).numpy().tolist()
        == np.full([2, 2, 3], 200).tolist()
    )
