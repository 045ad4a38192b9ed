"""The models that the package carries load, and do what their cards say."""

import numpy as np
import pytest

import tf_mvae
from tf_mvae.data.sensors import LinearGaussianSensors
from tf_mvae.errors import UserError
from tf_mvae.experiments import registry


def test_each_preset_says_what_it_is_and_loads():
    presets = tf_mvae.list_presets()
    assert set(presets) == {"digits", "sensors"}
    for name, what in presets.items():
        assert what.endswith(".") and not what.startswith("#")
        assert isinstance(tf_mvae.from_preset(name), tf_mvae.BaseVAE)


def test_the_model_of_digits_tells_them_apart_and_draws_different_ones():
    model = tf_mvae.from_preset("digits")
    batch = next(registry.get("digits").load("test", None).dataset.batch(500).as_numpy_iterator())
    found = model.generate({"image": batch["x"]["image"]}, 20, seed=0)["label"].numpy().mean(0)
    right = (found.argmax(-1) == batch["x"]["label"]).mean()
    assert right > 0.9  # its card says 0.922
    drawn = model.generate({"label": np.arange(10)}, 50, seed=0)["image"].numpy()
    again = model.generate({"image": drawn.reshape(-1, 28, 28, 1)}, 20, seed=1)["label"]
    named = again.numpy().mean(0).argmax(-1).reshape(50, 10)
    assert (named == np.arange(10)).mean() > 0.9
    # A class mean would be named right too; different images vary as much as real ones nearly do.
    real = [batch["x"]["image"][batch["x"]["label"] == c].astype(float) / 255 for c in range(10)]
    wanted = np.mean([images.var(0).sum() for images in real])
    assert drawn.var(0).sum((1, 2, 3)).mean() > 0.4 * wanted


def test_the_model_of_sensors_infers_as_the_exact_posterior_does():
    model = tf_mvae.from_preset("sensors")
    sensors = LinearGaussianSensors(10)
    x = sensors.sample(200, seed=5)
    there = np.ones([200, 10], np.float32)
    there[:, ::2] = 0
    given = {"sensors": x}
    found = model.generate(given, 400, mask={"sensors": there}, seed=0)["sensors"].numpy().mean(0)
    loc, _ = sensors.posterior(x, there)
    exact = np.einsum("srl,nl->nsr", sensors.weights, loc) + sensors.biases
    assert np.abs(found - exact).mean() < 0.2 * np.abs(x - sensors.biases).mean()


def test_paths_and_mistakes(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no preset 'digit'; name one of digits, sensors, hf://"):
        tf_mvae.from_preset("digit")
    path = tmp_path / "model.keras"
    tf_mvae.from_preset("sensors").save(path)
    again = tf_mvae.from_preset(path)
    assert again.latent_dim == 3
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tf_mvae.from_preset("~/model.keras").latent_dim == 3
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    for damaged, message in (
        (bytes(content), "Bad CRC-32"),
        (b"no archive", "it is damaged, or not a .keras file"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=f"model.keras cannot be loaded: {message}"):
            tf_mvae.from_preset(path)
    asked = []
    monkeypatch.setattr("tf_mvae.models.pretrained.from_hub", asked.append)
    tf_mvae.from_preset("hf://me/digits")
    assert asked == ["me/digits"]
