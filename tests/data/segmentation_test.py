"""Segmentations, compared with arithmetic on the labels of data sets."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tf_mvae import experiments
from tf_mvae.data import evaluation_batches
from tf_mvae.data.transformations import CHANNELS, available, transformed_images
from tf_mvae.errors import UserError

HEIGHT, WIDTH = 64, 80  # cut to a square from column 8 on, and not resized
SQUARE = np.s_[:, 8:72]
PLANE = tfds.features.Image(shape=(None, None, 1))


def store(folder, examples, **features):
    """Writes a data set of one split; returns its directory."""
    tfds.dataset_builders.store_as_tfds_dataset(
        name="pets",
        version="1.0.0",
        features=tfds.features.FeaturesDict(features),
        split_datasets={"test": list(enumerate(examples))},
        data_dir=folder,
        disable_shuffling=True,
    )
    return str(folder / "pets" / "1.0.0")


def drawn(channels, most=256, number=3):
    """Returns random pictures, uint8 `[number, HEIGHT, WIDTH, channels]`."""
    rng = np.random.default_rng(channels)
    return rng.integers(0, most, [number, HEIGHT, WIDTH, channels]).astype(np.uint8)


def made(folder, names=("image", "segmentation"), **options):
    split = transformed_images("test", dataset_dir=folder, transformations=names, **options)
    (batch,) = evaluation_batches(split, split.num_examples)
    return {name: value.numpy() for name, value in batch["x"].items()}


@pytest.fixture(scope="module")
def trimaps(tmp_path_factory):
    """Labels of TFDS's oxford_iiit_pet: 1 is the pet, 2 the background, 3 the border."""
    masks = 1 + drawn(1, most=3)
    examples = [
        {"image": image, "segmentation_mask": mask, "label": 0, "depth": np.float32(mask)}
        for image, mask in zip(drawn(3), masks, strict=True)
    ]
    folder = store(
        tmp_path_factory.mktemp("trimaps"),
        examples,
        image=tfds.features.Image(shape=(None, None, 3)),
        segmentation_mask=PLANE,
        label=tfds.features.ClassLabel(num_classes=2),
        depth=tfds.features.Tensor(shape=(HEIGHT, WIDTH, 1), dtype=np.float32),
    )
    return folder, masks


@pytest.mark.parametrize("values", [(1,), (1, 3), (2, 300), ()])
@pytest.mark.parametrize("feature", ["segmentation_mask", "depth"])
def test_a_feature_that_is_named_is_the_mask(trimaps, values, feature):
    folder, masks = trimaps
    chosen = {"mask_feature": feature, "mask_values": tuple(map(str, values))}
    found = made(folder, **chosen)["segmentation"]
    inside = np.isin(masks, values) if values else masks != 0
    np.testing.assert_array_equal(found, 255 * inside[:, *SQUARE].astype(np.uint8))
    assert available(None, folder, **chosen) == tuple(CHANNELS)
    resolve = experiments.get("celeba_transformations").resolve
    options = {"transformations": (), "absent_segmentation": False, **chosen}
    assert resolve(None, folder, **options) == {"transformations": tuple(CHANNELS)}


def test_what_its_numbers_mean_is_not_guessed(trimaps, caplog):
    folder, _ = trimaps
    assert "segmentation" not in available(None, folder)
    assert "--mask_feature makes one of depth or segmentation_mask" in caplog.text
    with pytest.raises(UserError, match=r"--mask_feature \(depth, segmentation_mask\)"):
        made(folder)


def test_the_alpha_of_a_picture_is_its_mask_and_it_lies_on_white(tmp_path):
    images = drawn(4)
    folder = store(
        tmp_path, [{"image": i} for i in images], image=tfds.features.Image(shape=(None, None, 4))
    )
    assert available(None, folder) == tuple(CHANNELS)
    x = made(folder, tuple(CHANNELS))
    images = images[:, *SQUARE].astype(float)
    alpha = images[..., 3:]
    np.testing.assert_array_equal(x["segmentation"], np.where(alpha >= 128, 255, 0))
    on_white = images[..., :3] * alpha / 255 + 255 * (1 - alpha / 255)
    # Half a level either way: what stands between two is rounded in float32.
    assert np.abs(x["image"] - on_white).max() < 0.5 + 1e-3
    assert (x["image"][alpha[..., 0] == 0] == 255).all()
    np.testing.assert_array_equal(x["obscured"][:, :, :32], x["image"][:, :, :32])


def test_a_mask_goes_before_the_alpha_and_a_named_one_before_both(tmp_path):
    mask, other = drawn(1, most=2), drawn(1, most=3)
    examples = [
        {"image": i, "mask": m, "other": o} for i, m, o in zip(drawn(4), mask, other, strict=True)
    ]
    folder = store(
        tmp_path,
        examples,
        image=tfds.features.Image(shape=(None, None, 4)),
        mask=PLANE,
        other=PLANE,
    )
    for options, inside in (
        ({}, mask != 0),
        ({"mask_values": ["0"]}, mask == 0),
        ({"mask_feature": "other"}, other != 0),
    ):
        found = made(folder, **options)["segmentation"]
        np.testing.assert_array_equal(found > 0, inside[:, *SQUARE])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"mask_feature": "trimap"},
            "--mask_feature=trimap: data set 'pets' has no such feature of numbers in one channel; "
            "it has depth, segmentation_mask",
        ),
        (
            {"mask_feature": "label"},
            "--mask_feature=label: data set 'pets' has no such feature of numbers in one channel; "
            "it has depth, segmentation_mask",
        ),
        (
            {"mask_values": ["1"]},
            "--mask_values=1: data set 'pets' has no feature 'mask'; name another with "
            "--mask_feature (depth, segmentation_mask)",
        ),
        (
            {"mask_feature": "depth", "mask_values": ["1", "pet"]},
            "--mask_values are whole numbers, as 1,3; they are 1,pet",
        ),
    ],
)
def test_mistakes_are_told_in_one_line(trimaps, options, message):
    for ask in (available, lambda **given: made(given.pop("dataset_dir"), **given)):
        with pytest.raises(UserError) as error:
            ask(dataset_dir=trimaps[0], **options)
        assert str(error.value) == message
