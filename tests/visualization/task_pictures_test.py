"""Figures of tasks: the positions of pictures, and rows with missing ones."""

import numpy as np
import pytest
import tensorflow as tf

from tf_mvae.data.tasks import Task
from tf_mvae.distributions import likelihoods
from tf_mvae.layers import mlp_decoder, mlp_encoder
from tf_mvae.modality import Modality
from tf_mvae.models import CVAE, MVAE
from tf_mvae.visualization import condition_figure, write_pictures
from tf_mvae.visualization.task_pictures import from_each_figure, sampled_figure, task_figure

CHANNELS = {"image": 3, "grey": 1, "edges": 1, "dark": 3}
TASKS = [
    Task("colouring", "grey", "image", {}),
    Task("drawing", "image", "edges", {}, binary=True),
    Task("flying", "image", "wings", {}),
]


def make_modalities(names=CHANNELS):
    return [
        Modality(
            name,
            likelihoods.Bernoulli([8, 8, CHANNELS[name]]),
            mlp_encoder([8]),
            mlp_decoder([8, 8, CHANNELS[name]], [8]),
        )
        for name in names
    ]


@pytest.fixture(scope="module")
def model():
    return MVAE(make_modalities(), latent_dim=2)


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    x = {n: rng.integers(0, 256, [9, 8, 8, c]).astype(np.uint8) for n, c in CHANNELS.items()}
    edges = np.ones(9, np.float32)
    edges[0] = 0
    return {"x": x, "mask": {"edges": edges}}


def panels(figure):
    """Returns the pictures of a figure's blocks, and all words."""
    blocks = [axes.get_images()[0].get_array() for axes in figure.axes]
    return blocks, [text.get_text() for text in figure.texts]


def cell(block, row, column):
    return block[row * 10 : row * 10 + 8, column * 10 : column * 10 + 8]


def test_a_row_has_the_given_the_generated_and_the_true_picture(model, batch):
    blocks, words = panels(task_figure(model, TASKS, batch, seed=3))
    assert len(blocks) == 2  # nothing flies
    assert words.count("given") == words.count("generated") == words.count("true") == 2
    assert "colouring\ngrey to image" in words
    chosen = [0, 1, 3, 4, 6, 8]  # spread over the batch
    grey = {"grey": batch["x"]["grey"][chosen] / 255}
    generated = model.from_latent(model.latent_samples(grey, 1, seed=3))["image"][0].numpy()
    for row, place in enumerate(chosen):
        x = {name: np.broadcast_to(v[place] / 255, [8, 8, 3]) for name, v in batch["x"].items()}
        np.testing.assert_allclose(cell(blocks[0], row, 0), x["grey"], atol=1e-6)
        np.testing.assert_allclose(cell(blocks[0], row, 1), generated[row], atol=1e-5)
        np.testing.assert_allclose(cell(blocks[0], row, 2), x["image"], atol=1e-6)
        # The first example lacks its edges.
        want = np.ones([8, 8, 3]) if place == 0 else x["edges"]
        np.testing.assert_allclose(cell(blocks[1], row, 2), want, atol=1e-6)


def test_everything_from_one(model, batch):
    figure = from_each_figure(model, model.modalities[3], model.modalities, batch)
    blocks, words = panels(figure)
    assert len(blocks) == 4 and {"image", "grey", "edges", "dark"} <= set(words)
    np.testing.assert_allclose(cell(blocks[0], 2, 0), batch["x"]["dark"][3] / 255, atol=1e-6)
    np.testing.assert_allclose(cell(blocks[1], 2, 1), batch["x"]["image"][3] / 255, atol=1e-6)


def test_many_pictures_are_drawn_from_each_and_not_pair_by_pair(model, batch, tmp_path):
    paths = write_pictures(model, batch, tmp_path, tasks=TASKS)
    assert {path.stem for path in paths} == {
        "samples", "reconstructions", "tasks", "sampled_colouring",
        *(f"from_{name}" for name in CHANNELS),
    }  # fmt: skip
    for path in paths:
        picture = tf.io.decode_png(path.read_bytes()).numpy()
        assert picture.min() < picture.max() and picture.shape[1] < 2000


def test_models_that_cannot_do_a_task_draw_none(batch, tmp_path):
    two = {"image": 3, "grey": 1}
    x = {name: batch["x"][name] for name in two}
    model = CVAE(make_modalities(two), latent_dim=2)
    assert task_figure(model, TASKS, {"x": x}) is None
    names = {path.stem for path in write_pictures(model, {"x": x}, tmp_path, tasks=TASKS)}
    assert names == {"reconstructions", "image_given_grey"}
    assert task_figure(MVAE(make_modalities(["grey"]), latent_dim=2), TASKS, {"x": x}) is None


def test_a_condition_draws_every_other_picture(model):
    given = {"grey": np.full([1, 8, 8, 1], 0.25, np.float32)}
    figure, generated = condition_figure(model, given, 5, "a title", seed=1)
    pictures, words = panels(figure)
    assert words == ["a title", "given grey", "image", "edges", "dark"]
    np.testing.assert_allclose(cell(pictures[0], 0, 0), 0.25)
    np.testing.assert_allclose(cell(pictures[0], 0, 1), 1.0)
    want = np.broadcast_to(generated["edges"][4], [8, 8, 3])
    np.testing.assert_allclose(cell(pictures[2], 0, 4), want, atol=1e-6)


def test_samples_of_the_first_task_differ_and_stand_between_given_and_true(model, batch):
    name, figure = sampled_figure(model, TASKS[1:] + TASKS[:1], batch, seed=3)
    assert name == "colouring"  # the edges are black and white: they have one answer
    (block,), words = panels(figure)
    assert words[-7:] == ["given", *(f"sample {i}" for i in range(1, 6)), "true"]
    chosen = np.unique(np.linspace(0, 8, 6).astype(int))
    for row, example in enumerate(chosen):
        grey, true = (batch["x"][n][example] / 255 for n in ("grey", "image"))
        np.testing.assert_allclose(cell(block, row, 0), np.repeat(grey, 3, -1), atol=1e-6)
        np.testing.assert_allclose(cell(block, row, 6), true, atol=1e-6)
        samples = [cell(block, row, column) for column in range(1, 6)]
        assert all(np.any(samples[0] != other) for other in samples[1:])
    assert sampled_figure(model, TASKS[1:2], batch) is None
