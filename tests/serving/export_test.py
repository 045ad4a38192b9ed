"""The SavedModel: loaded without this package, it agrees with the model."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tf_mvae.errors import UserError
from tf_mvae.evaluation import ImportanceSampler
from tf_mvae.serving import export_saved_model

# Runs every signature that takes masks, in a Python that cannot see this package.
STRANGER = """
import sys
import numpy as np
import tensorflow as tf

folder, inputs, outputs = sys.argv[1:]
arrays = dict(np.load(inputs))
served = tf.saved_model.load(folder)
answers = {}
for name, function in served.signatures.items():
    if name.endswith("_all_present"):
        continue  # the arrays hold garbage where a mask is 0
    wanted = function.structured_input_signature[1]
    given = {key: tf.constant(arrays[key], spec.dtype) for key, spec in wanted.items()}
    for key, value in function(**given).items():
        answers[name + "/" + key] = value.numpy()
assert not [module for module in sys.modules if module.startswith("tf_mvae")]
np.savez(outputs, **answers)
"""


@pytest.fixture(scope="module")
def model():
    return tiny.make_model(batch_norm=True)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "model"
    export_saved_model(model, path)
    return path


@pytest.fixture(scope="module")
def batch():
    """A batch of every presence pattern, with garbage for missing values."""
    batch = tiny.make_batch()
    for name in ("image", "reading"):
        batch["x"][name][batch["mask"][name] == 0] = np.nan
    batch["x"]["label"][batch["mask"]["label"] == 0] = 99
    return batch


@pytest.fixture(scope="module")
def answers(folder, batch, tmp_path_factory):
    place = tmp_path_factory.mktemp("stranger")
    masks = {f"{name}_mask": mask for name, mask in batch["mask"].items()}
    np.savez(
        place / "in.npz",
        **batch["x"],
        **masks,
        z=np.ones([2, tiny.LATENT_DIM], np.float32),
        num_samples=3,
        seed=[4, 5],
        temperature=0.5,
        quantiles=[0.1, 0.5, 0.8],
    )
    subprocess.run(
        [sys.executable, "-I", "-c", STRANGER, folder, place / "in.npz", place / "out.npz"],
        check=True,
        cwd=place,
    )
    return dict(np.load(place / "out.npz"))


def assert_agrees(answers, signature, expected):
    for name, value in expected.items():
        np.testing.assert_allclose(answers[f"{signature}/{name}"], value, atol=1e-5)


def test_serving_default(model, batch, answers):
    assert_agrees(answers, "serving_default", model(batch))


def test_encode(model, batch, answers):
    posterior = model.posterior(batch["x"], batch["mask"])
    expected = {"loc": posterior.mean(), "log_variance": 2 * np.log(posterior.stddev())}
    assert_agrees(answers, "encode", expected)


def test_decode(model, answers):
    assert_agrees(answers, "decode", model.from_latent(tf.ones([2, tiny.LATENT_DIM])))


def test_generate_is_deterministic_and_agrees(model, batch, answers):
    expected = model.generate(batch["x"], 3, batch["mask"], seed=[4, 5], temperature=0.5)
    assert_agrees(answers, "generate", expected)


def test_log_likelihood(model, batch, answers):
    estimate = ImportanceSampler(model, num_samples=3)(batch, seed=[4, 5])
    expected = {"log_likelihood": estimate.log_likelihood}
    expected["effective_sample_size"] = estimate.effective_sample_size
    assert_agrees(answers, "log_likelihood", expected)


def test_impute(model, batch, answers):
    found = model.impute(batch, 3, (0.1, 0.5, 0.8), seed=[4, 5])
    assert_agrees(answers, "impute", {f"filled_{name}": one.filled for name, one in found.items()})
    assert_agrees(answers, "impute", {"probabilities_label": found["label"].probabilities[0]})


def test_sample_scales_with_temperature(folder, model, answers):
    served = tf.saved_model.load(str(folder)).signatures["sample"]
    hot = served(num_samples=tf.constant(3), seed=tf.constant([4, 5]), temperature=tf.constant(1.0))
    np.testing.assert_allclose(answers["sample/z"], 0.5 * hot["z"], atol=1e-6)
    assert_agrees(answers, "sample", model.sample(3, seed=[4, 5], temperature=0.5))


def test_without_masks_everything_is_present(folder, model):
    whole = tiny.make_batch(np.ones([4, 3]))
    served = tf.saved_model.load(str(folder)).signatures
    given = {name: tf.constant(value) for name, value in whole["x"].items()}
    for name, value in model(whole).items():
        answer = served["serving_default_all_present"](**given)[name]
        np.testing.assert_allclose(answer, value, atol=1e-5)
    masks = {f"{name}_mask": tf.ones([4]) for name in tiny.NAMES}
    with pytest.raises(tf.errors.InvalidArgumentError):  # a mask too short is no mask left out
        served["encode"](**given, **{**masks, "label_mask": tf.ones([3])})
    with pytest.raises(tf.errors.InvalidArgumentError):
        served["encode"](**{**given, "label": given["label"][:3]}, **masks)
    loc = model.posterior(whole["x"]).mean()
    np.testing.assert_allclose(served["encode_all_present"](**given)["loc"], loc, atol=1e-5)


def test_the_description_names_the_modalities(folder):
    described = json.loads((folder / "assets.extra" / "tf_mvae.json").read_text())
    assert described["latent_dim"] == tiny.LATENT_DIM
    assert set(described["modalities"]) == set(tiny.NAMES)
    assert described["modalities"]["label"]["class_names"] == list("01234")


def test_nothing_is_overwritten(model, folder):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with pytest.raises(UserError, match="exists already"):
        export_saved_model(model, folder)
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_place_that_cannot_be_written_is_named(model, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        export_saved_model(model, tmp_path / "file" / "model")
