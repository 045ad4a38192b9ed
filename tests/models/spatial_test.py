"""Models whose latent is a grid."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_mvae
from tests import tiny
from tf_mvae import JMVAE, MVAE, VAE, Modality, ModalityGroup, UserError, likelihoods
from tf_mvae.evaluation.supervised import translator
from tf_mvae.layers import spatial_decoder, spatial_encoder, spatial_head
from tf_mvae.samplers import MixtureDensity
from tf_mvae.serving import export_format, export_saved_model

GRID = (4, 4, 2)
SIZE = 32


def make_modality(name="image", channels=3, scale=0.1, head=None):
    likelihood = likelihoods.Normal([8, 8, channels], scale)
    return Modality(
        name,
        likelihood,
        spatial_encoder(2, 4, blocks=1),
        spatial_decoder(GRID, likelihood.parameter_shape, 4),
        expert_head=spatial_head(GRID[-1]) if head is None else head,
    )


def make_model(make=MVAE, latent_dim=SIZE, **kwargs):
    """A picture, the same in grey with a learned scale, and a class with a linear head."""
    modalities = [make_modality(), make_modality("grey", 1, None)]
    label = Modality("label", likelihoods.Categorical(3))
    return make([*modalities, label][: make.max_modalities], latent_dim, **kwargs)


def make_data(number=6):
    rng = np.random.default_rng(0)
    image = rng.random([number, 8, 8, 3]).astype(np.float32)
    grey = image.mean(-1, keepdims=True)
    return {"image": image, "grey": grey, "label": np.arange(number) % 3}


def test_an_expert_is_the_heads_output_at_each_position():
    modality = make_modality()
    modality.connect(SIZE)
    image, there = make_data()["image"], tf.ones([6])
    loc, log_variance = modality.encode(image, there)
    out = modality.expert_head(modality.encoder(image)).numpy()  # [6, 4, 4, 2 * 2]
    np.testing.assert_allclose(loc, out[..., :2].reshape(6, SIZE), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(log_variance, out[..., 2:].reshape(6, SIZE), rtol=1e-5, atol=1e-6)


def test_the_product_is_taken_number_by_number():
    model, x = make_model(), make_data()
    x.pop("label")
    found = model.posterior(x)
    experts = [m.encode(x[m.name], tf.ones([6])) for m in model.modalities[:2]]
    precisions = [1.0] + [np.exp(-np.asarray(v, np.float64)) for _, v in experts]
    weighted = sum(p * m for p, (m, _) in zip(precisions[1:], experts, strict=True))
    np.testing.assert_allclose(found.mean(), weighted / sum(precisions), rtol=1e-4, atol=1e-5)


def test_training_changes_every_network(tmp_path):
    model, data = make_model(), {"x": make_data()}
    before = model.get_weights()
    model.compile(keras.optimizers.Adam(1e-2))
    history = model.fit(data, epochs=15, batch_size=6, verbose=0).history["loss"]
    assert np.isfinite(history).all() and history[-1] < history[0]
    names = [variable.path for variable in model.trainable_variables]
    kept = zip(before, model.get_weights(), names, strict=True)
    assert [name for old, new, name in kept if np.array_equal(old, new)] == []


# The spatial MVAE is saved by the conformance list.
@pytest.mark.parametrize(
    "make",
    [pytest.param(MVAE, marks=pytest.mark.long), VAE, pytest.param(JMVAE, marks=pytest.mark.long)],
)
def test_saved_and_loaded_gives_the_same(make, tmp_path):
    model = make_model(make)
    x = {name: make_data()[name] for name in (m.name for m in model.modalities)}
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.modalities[0].expert_head) is keras.layers.Conv2D
    expected = model.generate(x, 2, seed=1)
    tiny.assert_close(loaded.generate(x, 2, seed=1), expected, 0, 0)


def test_an_export_agrees_with_the_model(tmp_path):
    model, x = make_model(), make_data(2)
    export_saved_model(model, tmp_path / "saved")
    served = tf.saved_model.load(tmp_path / "saved")
    parts = {f"{name}_mask": tf.ones([2]) for name in x}
    given = {name: tf.constant(value) for name, value in x.items()}
    given["label"] = tf.cast(given["label"], tf.int32)
    answer = served.signatures["encode"](**given, **parts)
    np.testing.assert_allclose(answer["loc"], model.posterior(x).mean(), rtol=1e-4, atol=1e-5)


@pytest.mark.long
def test_onnx_agrees_with_the_model(tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    _, difference = export_format(make_model(), tmp_path / "out", "onnx")
    assert difference < 1e-4


def test_a_sampler_is_fitted_to_a_grid_of_many_numbers():
    grid = (8, 8, 16)
    likelihood = likelihoods.Bernoulli([16, 16, 1])
    networks = spatial_encoder(2, 2, 0), spatial_decoder(grid, [16, 16, 1], 2, 0)
    image = Modality("image", likelihood, *networks, expert_head=spatial_head(16))
    model = MVAE([image, Modality("label", likelihoods.Categorical(2))], 1024)
    x = {"image": np.random.default_rng(0).random([8, 16, 16, 1]), "label": np.arange(8) % 2}
    sampler = MixtureDensity(1024, 2, num_components=2, width=8)
    history = tf_mvae.samplers.fit(
        model, {"x": x}, sampler, 40, batch_size=8, jit_compile=False, verbose=0
    ).history["loss"]
    # Each step draws latents and subsets of eight examples.
    assert np.isfinite(history).all() and np.mean(history[-10:]) < np.mean(history[:10]) - 20
    assert model.generate({"label": [1]}, 3, seed=0)["image"].shape == [3, 1, 16, 16, 1]


def test_a_supervised_network_has_the_heads_means_between_encoder_and_decoder():
    given, target = make_modality("grey", 1), make_modality()
    network = translator(given, target, SIZE)
    parts = [type(m).from_config(m.get_config()) for m in (given, target)]
    for part in parts:
        part.connect(SIZE)
    half = 3 * 3 * 4 * GRID[-1] + GRID[-1]  # of the head, which makes log-variances, too
    size = sum(v.shape.num_elements() for v in parts[0].encoder.trainable_variables)
    size += sum(v.shape.num_elements() for v in parts[1].decoder.trainable_variables)
    assert network.count_params() == size + 2 * half
    assert network(make_data()["grey"]).shape == [6, 8, 8, 3]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_model(latent_dim=31), "puts out 32 means, and the latent has 31"),
        (
            lambda: VAE([make_modality(head=keras.layers.Conv2D(3, 1))], SIZE),
            "half of the last axis",
        ),
        (lambda: make_modality(head=3), "expert_head must be a Keras layer"),
        (
            lambda: ModalityGroup(
                "g", ["a", "b"], likelihoods.Bernoulli([]), expert_head=spatial_head(1)
            ),
            "expert_head is for a Modality",
        ),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(UserError, match=message):
        make()
