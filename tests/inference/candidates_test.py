"""Latents chosen among candidates: their distribution, and guidance by classes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tests.samplers.samplers_test import shaken
from tf_mvae.errors import UserError
from tf_mvae.evaluation.coherence import images_of_classes
from tf_mvae.inference.candidates import guided_latents
from tf_mvae.posteriors import DiagonalGaussian
from tf_mvae.samplers import MixtureFlow

SEED = tf.constant([5, 6])


@pytest.fixture(scope="module")
def model():
    """A model of an image, a label and a vector, with a sampler that is far from its posterior."""
    model = tiny.make_model()
    flow = MixtureFlow(model.latent_dim, model.num_columns, 2, units=8, width=8, num_components=4)
    for weight in model.modalities[1].decoder.weights:  # so that it says classes clearly
        weight.assign(4 * weight)
    model.set_sampler(shaken(flow))
    return model


@pytest.mark.parametrize(("count", "share"), [(1, 1 / 2), (2, 3 / 4), (4, 15 / 16)])
def test_the_best_of_several_is_found_as_often_as_it_is_among_them(mode, count, share):
    """With weights of 1 and 0, z is positive unless no candidate is: 1 - 2^-K."""
    posterior = DiagonalGaussian(tf.zeros([3, 2]), tf.zeros([3, 2]))

    def log_weight(z):
        return tf.where(z[..., 0] > 0, 0.0, -1e9)

    z = mode(lambda: guided_latents(posterior, 4000, SEED, None, count, log_weight))()
    assert z.shape == [4000, 3, 2]
    error = 4 * np.sqrt(share * (1 - share) / 4000)
    np.testing.assert_allclose((z[..., 0].numpy() > 0).mean(0), share, atol=error)
    np.testing.assert_allclose(z[..., 1].numpy().mean(0), 0, atol=4 / np.sqrt(4000))


def test_generated_latents_agree_more_with_the_class_that_is_given(model):
    given = {"label": np.arange(3)}

    def agreement(**how):
        probability = model.generate(given, 400, seed=1, **how)["label"].numpy()
        return np.mean([probability[:, row, row] for row in range(3)])

    none, two, many = (agreement(guidance=count) for count in (1, 2, 16))
    assert none + 0.005 < two < many - 0.005
    assert agreement() == two  # the sampler's own
    exact = model.latent_samples(given, 400, seed=1)
    probability = model.from_latent(exact)["label"].numpy()
    plain = np.mean([probability[:, row, row] for row in range(3)])
    assert plain == pytest.approx(none, abs=0.02)


def test_the_latents_that_generate_decodes_are_asked_for_by_guidance(model):
    given = {"label": np.arange(tiny.NUM_CLASSES)}
    own, two, none = (
        model.latent_samples(given, 40, seed=2, **how).numpy()
        for how in ({"guidance": None}, {"guidance": 2}, {})
    )
    np.testing.assert_array_equal(own, two)
    assert np.any(own != none)
    images, _ = images_of_classes(model, *model.modalities[:2], images_of_a_class=20, seed=4)
    z = model.latent_samples(given, 20, seed=[4, 0], guidance=2)
    expected = model.from_latent(z)["image"].numpy().reshape(images.shape)
    np.testing.assert_allclose(images, expected, atol=1e-6)


def test_a_class_that_is_missing_or_not_given_guides_nothing(model):
    image = {"image": tiny.make_batch(np.ones([4, 3]))["x"]["image"]}
    alone, other = (model.generate(image, 2, seed=3, guidance=k)["image"] for k in (1, 2))
    np.testing.assert_array_equal(alone, other)
    x = {**image, "label": np.zeros(4, np.int32)}
    hidden = {"label": np.zeros(4, np.float32)}
    first = model.generate(x, 2, hidden, seed=3)["image"]
    x["label"] = np.full(4, 2, np.int32)
    np.testing.assert_array_equal(model.generate(x, 2, hidden, seed=3)["image"], first)


def test_guidance_is_saved_and_an_older_sampler_has_none(model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.sampler.guidance == 2
    config = model.sampler.get_config()
    del config["guidance"]
    assert MixtureFlow.from_config(config).guidance == 1


@pytest.mark.parametrize(
    "how", [{"guidance": 0}, {"guidance": 1.5}, {"guidance": 2, "resample": 5}]
)
def test_what_means_nothing_is_refused(model, how):
    with pytest.raises(UserError, match="guidance"):
        model.generate({"label": [1]}, **how)
