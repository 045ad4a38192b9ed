"""CdSprites: the captions of all levels describe the images."""

import hashlib

import numpy as np
import pytest

from tf_mvae.data import cd_sprites as module
from tf_mvae.data.cd_sprites import ATTRIBUTES, WORDS, CaptionWords, caption, cd_sprites
from tf_mvae.errors import UserError

NAMES = list(ATTRIBUTES)


def examples(split, level, number):
    batch = next(iter(cd_sprites(split, level).dataset.batch(number)))["x"]
    words = [[WORDS[i] for i in row if i > 2] for row in batch["caption"].numpy()]
    return batch["image"].numpy(), [" ".join(row) for row in words]


def seen(image):
    """Reads the attributes of a level 5 image from its pixels."""
    background = module._BACKGROUNDS.index(tuple(image[0, 0]))
    inside = (image != image[0, 0]).any(-1)
    rows, columns = np.nonzero(inside)
    colour = module._COLOURS.index(tuple(image[rows[0], columns[0]]))
    position = 2 * int(rows.mean() > 32) + int(columns.mean() > 32)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    size = int(max(height, width) > 17)
    third = height // 3
    low = inside[rows.max() - third + 1 :].sum() / inside[: rows.min() + third].sum()
    shape = 2 if width > 1.3 * height else int(low > 0.7)  # a heart is narrow at its foot
    return shape, size, colour, position, background


def test_captions_say_what_images_show():
    images, captions = examples("test", 5, 60)
    found = [caption(seen(image)) for image in images]
    assert found == captions
    assert len(set(captions)) > 40


@pytest.mark.parametrize(
    ("level", "text"),
    [
        (1, "square"),
        (2, "small square"),
        (3, "small pink square"),
        (4, "small pink square at bottom left"),
        (5, "small pink square at bottom left on brown"),
    ],
)
def test_a_level_names_one_more_attribute(level, text):
    assert caption([1, 0, 2, 2, 3][:level]) == text
    ids, cut = CaptionWords().encode([text], module.caption_length(level))
    assert ids[0, -1] == 2 and (ids > 0).all() and cut == 0


def test_what_a_caption_does_not_name_is_the_same_everywhere():
    images, captions = examples("train", 2, 40)
    assert set(captions) == {f"{s} {x}" for s in ATTRIBUTES["size"] for x in ATTRIBUTES["shape"]}
    assert len(np.unique(images.reshape(-1, 3), axis=0)) == 2
    assert len({image.tobytes() for image in images}) == 40  # moved and turned


def test_examples_depend_on_their_split_and_place_alone():
    split = cd_sprites("validation", 3)
    (one,) = split.dataset.skip(7).take(1).as_numpy_iterator()
    (other,) = split.rows(7, 8).as_numpy_iterator()
    np.testing.assert_array_equal(one["x"]["image"], other["x"]["image"])
    first = next(iter(cd_sprites("test", 3).dataset.skip(7)))["x"]["image"]
    assert (first.numpy() != one["x"]["image"]).any()


# Training examples of version 0.1.0, from which models have learned.
@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (1, "4a77590733be6bae38a4df9cf5a20c5794932ddc2dbf79eafa35f8d2642eee55"),
        (5, "9f18fd08ab42df1dbe2e71e18a7ecc2b3217c290997626650412ffa102958a44"),
    ],
)
def test_training_examples_do_not_change(level, expected):
    batch = next(iter(cd_sprites("train", level).dataset.batch(50)))["x"]
    found = hashlib.sha256(batch["image"].numpy().tobytes() + batch["caption"].numpy().tobytes())
    assert found.hexdigest() == expected


@pytest.mark.parametrize("level", [1, 2])
def test_images_of_other_splits_are_no_training_images(level):
    def pixels(split, number):
        return {image.tobytes() for image in examples(split, level, number)[0]}

    trained = pixels("train", 2_000)
    for split in ("validation", "test"):
        assert not trained & pixels(split, 300)


@pytest.mark.parametrize("text", ["small blue dog", "heart heart heart heart"])
def test_what_is_no_caption_is_refused(text):
    with pytest.raises(UserError, match="is no caption of 3 words or fewer out of at, on, heart"):
        CaptionWords().encode([text], 4)
    with pytest.raises(UserError, match="split must be one of .*; it is 'all'"):
        cd_sprites("all")
