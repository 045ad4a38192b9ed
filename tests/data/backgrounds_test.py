"""Backgrounds: textures that are the same everywhere, and folders of pictures."""

import numpy as np
import pytest
import tensorflow as tf

from tf_mvae.data.backgrounds import content_hash, procedural, read_folder
from tf_mvae.errors import UserError


def write(folder, pictures):
    folder.mkdir()
    for index, picture in enumerate(pictures):
        (folder / f"{index}.png").write_bytes(tf.io.encode_png(picture).numpy())
    return str(folder)


def test_textures_are_the_same_on_every_machine():
    """A run records the hash of its backgrounds, and loads only with the same ones."""
    assert content_hash(procedural()) == (
        "5046e6f4bec1b9127db01590cbffece7c6cc0e9ad18e45bd500803a99243a6b4"
    )


def test_textures_differ_from_each_other_and_from_their_inverse():
    textures = procedural()
    assert [t.shape for t in textures] == [(256, 256, 3)] * 5
    means = [t.reshape(-1, 3).mean(0) for t in textures]
    for place, one in enumerate(means):
        for other in means[:place]:
            assert np.abs(one - other).max() > 60
    for texture in textures:
        colours = np.unique(texture.reshape(-1, 3), axis=0).astype(int)
        inverse = 255 - colours
        nearest = np.abs(colours[:, np.newaxis] - inverse).max(-1).min()
        assert nearest > 50  # a digit's colours are not those around it


def test_a_folder_is_read_in_the_order_of_its_names_and_hashed_by_content(tmp_path):
    pictures = [np.full([28 + k, 40, 3], 50 * k, np.uint8) for k in range(5)]
    found = read_folder(write(tmp_path / "one", pictures))
    for one, other in zip(found, pictures, strict=True):
        np.testing.assert_array_equal(one, other)
    hashes = {content_hash(found), content_hash(found[::-1]), content_hash(procedural())}
    assert len(hashes) == 3
    assert content_hash(read_folder(write(tmp_path / "two", pictures))) == content_hash(found)


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        ([np.zeros([28, 28, 3], np.uint8)] * 4, "holds 4 pictures; it must hold 5"),
        ([np.zeros([28, 27, 3], np.uint8)] * 5, "0.png has 27 x 28 pixels; it needs 28 x 28"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused(tmp_path, pictures, message):
    with pytest.raises(UserError, match=message):
        read_folder(write(tmp_path / "folder", pictures))


def test_what_is_no_picture_and_no_folder_is_refused(tmp_path):
    folder = write(tmp_path / "folder", [np.zeros([28, 28, 3], np.uint8)] * 5)
    (tmp_path / "folder" / "3.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match="3.png cannot be read as a picture"):
        read_folder(folder)
    with pytest.raises(UserError, match="none is not a folder"):
        read_folder("none")
