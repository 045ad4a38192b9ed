"""The six views of a picture, made in the input pipeline."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from skimage.feature import canny

from tests.picture_data import prepare_pictures
from tf_mvae import experiments
from tf_mvae.batch import check_arrays
from tf_mvae.data import evaluation_batches, training_batches
from tf_mvae.data import transformations as module
from tf_mvae.data.attributes import square
from tf_mvae.data.landmarks import LANDMARKS, landmark_mask
from tf_mvae.data.split import Split
from tf_mvae.data.transformations import (
    CHANNELS,
    TASKS,
    available,
    chosen,
    obscured,
    transform,
    transformed_images,
)
from tf_mvae.data.watermark import watermark
from tf_mvae.errors import UserError

FIVE = tuple(name for name in CHANNELS if name != "segmentation")


@pytest.fixture(scope="module")
def masked(tmp_path_factory):
    return prepare_pictures(tmp_path_factory.mktemp("masked"), {"train": 20, "test": 3}, True)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    sizes = {"train": 70, "validation": 2, "test": 3}
    return prepare_pictures(tmp_path_factory.mktemp("plain"), sizes, False)


def whole(split):
    (batch,) = evaluation_batches(split, split.num_examples)
    return {part: {n: v.numpy() for n, v in values.items()} for part, values in batch.items()}


def raw(directory, split):
    return list(tfds.as_numpy(tfds.builder_from_directory(directory).as_dataset(split=split)))


def test_every_modality_is_made_of_the_picture(masked):
    x = whole(transformed_images("test", dataset_dir=masked))["x"]
    assert {name: value.shape for name, value in x.items()} == {
        name: (3, 64, 64, channels) for name, channels in CHANNELS.items()
    }
    assert all(value.dtype == np.uint8 for value in x.values())
    for row, example in enumerate(raw(masked, "test")):
        image = square(tf.constant(example["image"]), 64).numpy()
        np.testing.assert_array_equal(x["image"][row], image)
        grey = (image @ [0.2989, 0.587, 0.114])[..., np.newaxis]
        assert np.abs(x["grayscale"][row] - grey).max() <= 1
        edges = 255 * canny(x["grayscale"][row][..., 0] / 255, sigma=2)
        np.testing.assert_array_equal(x["edges"][row][..., 0], edges)
        np.testing.assert_array_equal(x["obscured"][row][:, :32], image[:, :32])
        assert x["obscured"][row][:, 32:].max() == 0
        np.testing.assert_array_equal(x["watermarked"][row], watermark(image[np.newaxis])[0])
        mask = x["segmentation"][row]
        assert set(np.unique(mask)) == {0, 255}
        # Where the disc is: its colour is that of its middle.
        assert np.std(image[mask[..., 0] == 255], axis=0).max() < 60
        inside = example["mask"][4:44]
        assert abs((mask > 0).mean() - inside.mean()) < 0.02


def test_a_data_set_without_a_mask_has_five_or_a_masked_one(plain):
    assert available(dataset_dir=plain) == FIVE
    with pytest.raises(UserError, match="no mask to be the segmentation") as caught:
        transformed_images("test", dataset_dir=plain)
    assert f"--transformations={','.join(FIVE)}" in str(caught.value)
    five = transformed_images("test", dataset_dir=plain, transformations=FIVE)
    assert set(whole(five)["x"]) == set(FIVE) and five.presence is None
    six = transformed_images("test", dataset_dir=plain, absent_segmentation=True)
    batch = whole(six)
    assert batch["mask"]["segmentation"].tolist() == [0, 0, 0]
    assert {name: value.tolist() for name, value in six.presence.items()} == {
        name: [float(name != "segmentation")] * 3 for name in CHANNELS
    }
    check_arrays(batch, experiments.get("celeba_transformations").modalities({}, {}))


def test_a_run_takes_what_its_data_have(plain, masked):
    resolve = experiments.get("celeba_transformations").resolve
    assert resolve(None, plain, (), False) == {"transformations": FIVE}
    assert resolve(None, masked, (), False) == {"transformations": tuple(CHANNELS)}
    assert resolve(None, plain, (), True) == {"transformations": tuple(CHANNELS)}
    assert resolve(None, plain, ("edges", "image"), False) == {
        "transformations": ("image", "edges")
    }


def test_examples_keep_their_order_over_more_than_one_block(plain):
    split = transformed_images("train", dataset_dir=plain, transformations=["image"])
    assert split.num_examples == 70
    images = whole(split)["x"]["image"]
    for row, example in enumerate(raw(plain, "train")):
        np.testing.assert_array_equal(images[row], square(tf.constant(example["image"]), 64))
    (batch,) = training_batches(split, 70, 1, seed=0)
    shuffled = batch["x"]["image"].numpy()
    assert sorted(i.tobytes() for i in shuffled) == sorted(i.tobytes() for i in images)


def test_what_a_data_set_has_no_split_of_its_own_for_is_set_aside(masked):
    sizes = {name: transformed_images(name, dataset_dir=masked) for name in ("train", "validation")}
    assert {name: split.num_examples for name, split in sizes.items()} == {
        "train": 18, "validation": 2,
    }  # fmt: skip
    kept = {image.tobytes() for image in whole(sizes["train"])["x"]["image"]}
    aside = {image.tobytes() for image in whole(sizes["validation"])["x"]["image"]}
    assert len(kept) == 18 and len(aside) == 2 and not kept & aside


def test_a_set_of_one_split_is_cut_in_three(tmp_path):
    directory = prepare_pictures(tmp_path, {"train": 20}, False, channels=1)
    splits = {
        name: whole(transformed_images(name, dataset_dir=directory, transformations=["image"]))
        for name in ("train", "validation", "test")
    }
    seen = {name: {i.tobytes() for i in batch["x"]["image"]} for name, batch in splits.items()}
    assert {name: len(images) for name, images in seen.items()} == {
        "train": 16, "validation": 2, "test": 2,
    }  # fmt: skip
    assert len(set.union(*seen.values())) == 20
    grey = splits["test"]["x"]["image"]  # of one channel, so that all three are the same
    assert grey.shape[-1] == 3 and (grey == grey[..., :1]).all()


def test_celebas_own_schema_gives_six(monkeypatch):
    with tfds.testing.mock_data(num_examples=4):
        builder = tfds.builder("celeb_a")
        monkeypatch.setattr(module, "chosen_builder", lambda *_: builder)
        # A mocked builder knows no number of examples.
        monkeypatch.setattr(
            module,
            "read",
            lambda b, _, split: Split(b.as_dataset(split=split, shuffle_files=False), 4),
        )
        assert available() == tuple(CHANNELS)
        batch = whole(transformed_images("test"))
    assert set(batch["x"]) == set(CHANNELS)
    check_arrays(batch, experiments.get("celeba_transformations").modalities({}, {}))


def test_a_mask_is_drawn_from_landmarks(tmp_path):
    rng = np.random.default_rng(0)
    landmarks = {name: int(rng.integers(40, 130)) for name in LANDMARKS}
    features = {
        "image": tfds.features.Image(shape=(218, 178, 3)),
        "landmarks": dict.fromkeys(LANDMARKS, np.int64),
    }
    image = np.zeros([218, 178, 3], np.uint8)
    tfds.dataset_builders.store_as_tfds_dataset(
        name="faces",
        version="1.0.0",
        features=tfds.features.FeaturesDict(features),
        split_datasets={"test": [(0, {"image": image, "landmarks": landmarks})]},
        data_dir=tmp_path,
    )
    split = transformed_images("test", dataset_dir=str(tmp_path / "faces" / "1.0.0"))
    want = landmark_mask(landmarks, 218, 178, 64).numpy()
    assert want.any()
    np.testing.assert_array_equal(whole(split)["x"]["segmentation"][0], want)


def test_other_data_sets_and_names_are_refused(tmp_path):
    with pytest.raises(UserError, match="names 'sketch'; there are image, grayscale"):
        chosen(["image", "sketch"])
    with pytest.raises(UserError, match="no dataset_info.json"):
        transformed_images("train", dataset_dir=str(tmp_path))
    features = {"photo": tfds.features.Image(shape=(4, 4, 3))}
    tfds.dataset_builders.store_as_tfds_dataset(
        name="photos",
        version="1.0.0",
        features=tfds.features.FeaturesDict(features),
        split_datasets={"train": [(0, {"photo": np.zeros([4, 4, 3], np.uint8)})]},
        data_dir=tmp_path,
    )
    with pytest.raises(UserError, match="no feature 'image' of 1, 3 or 4 channels.* photo"):
        available(dataset_dir=str(tmp_path / "photos" / "1.0.0"))


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_guesses_are_what_they_are_called(task):
    rng = np.random.default_rng(0)
    given = rng.random([2, 64, 64, CHANNELS[task.given]]).astype(np.float32)
    mean = rng.random([64, 64, CHANNELS[task.target]]).astype(np.float32)
    for name, guess in task.guesses.items():
        found = guess(given, mean)
        assert found.shape == (2, *mean.shape), name
    if task.name == "completion":
        (_, half), names = task.parts["hidden half"], list(task.guesses)
        filled, mirrored = (task.guesses[name](given, mean) for name in names)
        np.testing.assert_array_equal(filled[:, :, half], np.stack([mean[:, half]] * 2))
        np.testing.assert_array_equal(filled[:, :, :32], given[:, :, :32])
        np.testing.assert_array_equal(mirrored[:, :, 63 - np.arange(64)], mirrored)
        # What is hidden is what the transformation hides.
        seen = obscured(tf.ones([1, 64, 64, 3], tf.uint8)).numpy()
        assert seen[:, :, half].max() == 0 and seen.mean() == 0.5


def test_transforming_in_a_graph_or_not_is_the_same():
    image = np.random.default_rng(0).integers(0, 256, [2, 64, 64, 3]).astype(np.uint8)
    eager = transform(tf.constant(image), FIVE)
    graph = tf.function(transform)(tf.constant(image), FIVE)
    for name in FIVE:
        np.testing.assert_array_equal(eager[name], graph[name])


def test_a_coloured_picture_is_given_its_luminance_and_keeps_its_colours():
    """Differences between channels are the colours; a grey copy is as bright as what it is of."""
    rng = np.random.default_rng(0)
    given, predicted = (rng.random([2, 5, 5, c]).astype(np.float32) for c in (1, 3))
    (colourisation,) = (task for task in TASKS if task.name == "colourisation")
    (correct,) = colourisation.corrections.values()
    corrected = correct(given, predicted)
    np.testing.assert_allclose(tf.image.rgb_to_grayscale(corrected), given, atol=2e-4)
    for one in (0, 1):
        difference = corrected[..., one] - corrected[..., 2]
        np.testing.assert_allclose(difference, predicted[..., one] - predicted[..., 2], atol=1e-6)
    grey = np.repeat(given, 3, axis=-1)
    np.testing.assert_allclose(correct(given, grey), grey, atol=1e-4)
