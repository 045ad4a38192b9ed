"""Every valid name of a modality is the name of an input in every export."""

import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tf_mvae import CVAE, MVAE, Modality, likelihoods
from tf_mvae.layers import mlp_decoder, mlp_encoder
from tf_mvae.serving import export_format, export_saved_model
from tf_mvae.serving.export import read_meta_graph

# Keywords, names that differ in case alone, and names of other tensors in some export.
NAMES = ["class", "from", "Photo", "A", "a", "noise", "expected_a"]


@pytest.fixture(scope="module")
def model():
    return MVAE(
        [
            Modality(n, likelihoods.Normal([2]), mlp_encoder([3]), mlp_decoder([2], [3]))
            for n in NAMES
        ],
        2,
    )


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    x = {name: rng.normal(size=[4, 2]).astype(np.float32) for name in NAMES}
    return {"x": x, "mask": {name: (np.arange(4) != i % 4) * 1.0 for i, name in enumerate(NAMES)}}


def test_a_saved_model_has_the_names(model, batch, tmp_path):
    export_saved_model(model, tmp_path / "model")
    signatures = read_meta_graph(tmp_path / "model").signature_def
    masks = [f"{name}_mask" for name in NAMES]
    assert set(signatures["encode"].inputs) == {*NAMES, *masks}
    assert set(signatures["encode"].defaults) == {*NAMES, *masks}
    given = {name: tf.constant(value) for name, value in batch["x"].items()}
    given |= {f"{n}_mask": tf.constant(m, tf.float32) for n, m in batch["mask"].items()}
    answer = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"](**given)
    expected = model(batch)
    assert set(answer) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(answer[name], value, atol=1e-6)


@pytest.mark.parametrize("format_name", ["onnx", "tflite"])
def test_other_formats_have_the_names(model, format_name, tmp_path):
    if format_name == "onnx":
        pytest.importorskip("tf2onnx")
    _, difference = export_format(model, tmp_path, format_name)
    assert difference < 1e-5


def test_a_name_that_no_export_can_have_is_refused():
    with pytest.raises(ValueError, match="not 'self', which stands for something else"):
        Modality("self", likelihoods.Normal([2]))


def test_keras_export_works_before_any_call(model, batch, tmp_path):
    """With names that are Python keywords, for a model that has not been called or fitted."""
    model.export(str(tmp_path / "model"), verbose=False)
    served = tf.saved_model.load(str(tmp_path / "model"))
    given = tf.nest.map_structure(lambda value: tf.constant(value, tf.float32), batch)
    for name, value in model(batch).items():
        np.testing.assert_allclose(served.serve(given)[name], value, atol=1e-6)


def test_keras_export_takes_no_masks_of_conditions(tmp_path):
    model, batch = tiny.make_any(CVAE), tiny.make_batch(np.ones([2, 3]))
    model.export(str(tmp_path / "model"), verbose=False)
    expected = model({"x": batch["x"]})
    batch["mask"] = {"image": batch["mask"]["image"]}
    served = tf.saved_model.load(str(tmp_path / "model"))
    answer = served.serve(tf.nest.map_structure(tf.constant, batch))
    np.testing.assert_allclose(answer["image"], expected["image"], atol=1e-6)
