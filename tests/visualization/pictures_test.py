"""Figures: which are written, and their contents."""

import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tf_mvae.distributions import likelihoods
from tf_mvae.layers import RecurrentDecoder, RecurrentEncoder, mlp_decoder, mlp_encoder
from tf_mvae.modality import Modality
from tf_mvae.models import MVAE
from tf_mvae.visualization import (
    condition_figure,
    curves,
    write_accuracy_curves,
    write_curves,
    write_pictures,
)
from tf_mvae.visualization.grids import tile
from tf_mvae.visualization.pictures import most_probable


def read(path):
    picture = tf.io.decode_png(path.read_bytes()).numpy()
    assert picture.min() < picture.max()
    return picture


def test_image_label_and_vector(tmp_path):
    paths = write_pictures(tiny.make_model(), tiny.make_batch(np.ones([9, 3])), tmp_path)
    assert {path.name for path in paths} == {
        "samples.png", "reconstructions.png", "image_given_label.png", "label_given_image.png",
    }  # fmt: skip
    for path in paths:
        assert read(path).shape[1] <= 1300


def test_samples_are_sorted_by_the_class_generated_with_each(monkeypatch, tmp_path):
    model, drawn = tiny.make_model(), {}
    monkeypatch.setattr(
        "tf_mvae.visualization.pictures.image_grid",
        lambda images, columns, title, rows=(), captions=(): drawn.setdefault(
            title.split(",")[0], (images, captions)
        ),
    )
    monkeypatch.setattr("tf_mvae.visualization.pictures.save_figure", lambda figure, path: path)
    write_pictures(model, tiny.make_batch(np.ones([9, 3])), tmp_path, seed=2)
    images, captions = drawn["samples from the prior"]
    sampled = model.sample(64, seed=2)
    classes = sampled["label"].numpy().argmax(-1)
    assert list(captions) == sorted(map(str, classes)) and len(set(captions)) > 1
    first = np.flatnonzero(classes == int(captions[-1]))[-1]  # the order within a class stays
    np.testing.assert_array_equal(images[-1], sampled["image"][first])


def test_a_text_that_no_example_has_is_not_drawn(tmp_path):
    words = likelihoods.TokenSequence(7, 4, RecurrentDecoder(7, 3, 4, 1), 5, words=list("....abc"))
    text = Modality("text", words, RecurrentEncoder(7, 3, 4), mlp_decoder([5], [4]))
    image = tiny.make_modalities()[0]
    x = {"image": np.zeros([3, 4, 4, 1], np.float32), "text": np.full([3, 4], 3, np.int32)}
    masks = {"image": np.ones(3, np.float32), "text": np.zeros(3, np.float32)}
    paths = write_pictures(MVAE([image, text], latent_dim=2), {"x": x, "mask": masks}, tmp_path)
    assert {path.name for path in paths} == {"samples.png", "reconstructions.png"}


def test_two_images_of_different_size_with_parts_missing(tmp_path):
    parts = {"small": [4, 4, 1], "large": [8, 8, 3]}
    model = MVAE(
        [
            Modality(name, likelihoods.Bernoulli(shape), mlp_encoder([8]), mlp_decoder(shape, [8]))
            for name, shape in parts.items()
        ],
        latent_dim=2,
    )
    batch = {
        "x": {name: np.random.default_rng(0).random([6, *shape]) for name, shape in parts.items()},
        "mask": {"small": np.array([1, 1, 0, 1, 1, 1.0]), "large": np.array([0, 1, 1, 1, 1, 1.0])},
    }
    batch["x"] = {name: value.astype(np.float32) for name, value in batch["x"].items()}
    batch["x"]["small"][2] = np.nan
    names = {path.name for path in write_pictures(model, batch, tmp_path)}
    assert {"small_given_large.png", "large_given_small.png"} <= names
    batch["mask"]["small"] = np.zeros(6)
    (tmp_path / "none").mkdir()
    names = {path.name for path in write_pictures(model, batch, tmp_path / "none")}
    assert names == {"samples.png", "reconstructions.png"}


def test_a_model_of_vectors_has_no_pictures(tmp_path):
    model = MVAE([Modality("reading", likelihoods.Normal([3]))], latent_dim=2)
    batch = {"x": {"reading": np.zeros([4, 3], np.float32)}}
    assert write_pictures(model, batch, tmp_path) == []


def test_tile_puts_images_in_rows():
    images = np.stack([np.full([2, 3, 1], grey) for grey in (0.1, 0.2, 0.3)])
    canvas = tile(images, 2)
    assert canvas.shape == (2 * 4 - 2, 2 * 5 - 2, 3)
    np.testing.assert_allclose(canvas[0:2, 0:3], 0.1, atol=1e-6)
    np.testing.assert_allclose(canvas[0:2, 5:8], 0.2, atol=1e-6)
    np.testing.assert_allclose(canvas[4:6, 0:3], 0.3, atol=1e-6)
    np.testing.assert_allclose(canvas[4:6, 5:8], 1.0)


@pytest.mark.parametrize("given", [{}, {"label": np.array([2], np.int32)}])
def test_what_is_generated_is_the_models(given):
    model = tiny.make_model()
    figure, generated = condition_figure(model, given, 5, "title", seed=3)
    assert figure is not None
    drawn = model.generate(given, 5, seed=3) if given else model.sample(5, seed=3)
    expected = drawn["image"][:, 0] if given else drawn["image"]
    np.testing.assert_allclose(generated["image"], expected, atol=1e-6)


def test_the_most_probable_classes_are_named():
    model = tiny.make_model()
    probabilities = np.tile([0.1, 0.5, 0.2, 0.15, 0.05], [4, 1])
    words = most_probable(model, {}, {"label": probabilities})
    assert words == [("label", "1 50.0%, 2 20.0%, 3 15.0%")]
    assert most_probable(model, {"label": np.array([1])}, {}) == []


def test_curves(tmp_path):
    names = ["loss", "elbo", "kl", "image_log_likelihood"]
    rows = [
        {"epoch": e, **{p + n: -1.0 / e for n in names for p in ("", "val_")}} for e in (1, 2, 3)
    ]
    picture = read(write_curves(rows, tmp_path / "curves.png"))
    assert picture.shape[1] > 3 * picture.shape[0]  # four panels side by side
    fewer = read(write_curves(rows, tmp_path / "fewer.png", list(rows[0])[1:2]))
    assert picture.shape[1] * 0.7 < fewer.shape[1] < picture.shape[1] * 0.8


def test_curves_of_accuracy_have_a_place_for_the_fraction_0(monkeypatch):
    monkeypatch.setattr(curves, "save_figure", lambda figure, path: figure)
    averages = {("mvae", fraction): (0.5, None, 1) for fraction in (0.0, 0.01, 0.1)}
    figure = write_accuracy_curves(averages, None)
    (axes,) = figure.axes
    places = axes.transData.transform([(per_cent, 0) for per_cent in (0, 1, 10)])[:, 0]
    left, right = axes.transAxes.transform([(0, 0), (1, 0)])[:, 0]
    assert np.diff([left, *places, right]).min() > 0.02 * (right - left)
