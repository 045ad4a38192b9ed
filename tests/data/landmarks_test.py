"""The mask of the parts of a face, compared with a drawing by loops."""

import numpy as np
import tensorflow as tf

from tf_mvae.data.attributes import square
from tf_mvae.data.landmarks import LANDMARKS, landmark_mask

# The usual ones of CelebA's aligned pictures, 218 x 178.
POINTS = {
    "lefteye": (69, 111), "righteye": (108, 111), "nose": (88, 135),
    "leftmouth": (72, 152), "rightmouth": (105, 152),
}  # fmt: skip


def landmarks(points=POINTS):
    values = {
        f"{name}_{axis}": v for name, p in points.items() for axis, v in zip("xy", p, strict=True)
    }
    assert set(values) == set(LANDMARKS)
    return {name: tf.constant(value, tf.int64) for name, value in values.items()}


def test_parts_are_discs_and_the_mouth_a_thick_line():
    mask = landmark_mask(landmarks(), 218, 178, 64).numpy()
    assert mask.shape == (64, 64, 1) and set(np.unique(mask)) == {0, 255}
    scale = 64 / 178
    place = {
        n: ((x + 0.5) * scale - 0.5, (y - 20 + 0.5) * scale - 0.5) for n, (x, y) in POINTS.items()
    }
    apart = 39 * scale
    line = np.linspace(place["leftmouth"], place["rightmouth"], 501)
    rows, columns = np.mgrid[:64, :64]
    want = np.zeros([64, 64], bool)
    for radius, points in (
        (0.24, [place[name] for name in ("lefteye", "righteye", "nose")]),
        (0.16, line),
    ):
        for x, y in points:
            want |= np.hypot(columns - x, rows - y) <= radius * apart
    differing = (mask[..., 0] > 0) != want
    assert differing.sum() <= 2 and 60 < want.sum() < 400


def test_the_mask_lies_where_the_picture_has_its_parts():
    """In a picture that is white around each landmark, all white is under the mask."""
    image = np.zeros([218, 178, 3], np.uint8)
    for x, y in POINTS.values():
        image[y - 1 : y + 2, x - 1 : x + 2] = 255
    small = square(tf.constant(image), 64).numpy()[..., 0]
    mask = landmark_mask(landmarks(), *(tf.constant(s) for s in (218, 178)), 64).numpy()[..., 0]
    assert (small > 60).sum() >= 5
    assert (mask[small > 60] == 255).all()


def test_parts_outside_the_square_are_cut_off_and_points_together_draw_nothing_wide():
    outside = landmark_mask(landmarks(dict(POINTS, nose=(88, 3))), 218, 178, 64).numpy()
    assert outside[:5].max() == 0
    together = landmark_mask(landmarks(dict.fromkeys(POINTS, (88, 109))), 218, 178, 64).numpy()
    assert together.sum() <= 255
