"""Exports for other runtimes agree with the model, and no file is left if they do not."""

import json
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tests.models import sequences_test
from tests.serving.conftest import CARD
from tf_mvae import MVAE, BiVCCA, Modality, MoPoE, likelihoods
from tf_mvae.errors import UserError
from tf_mvae.layers import mlp_decoder
from tf_mvae.samplers import MixtureDensity
from tf_mvae.serving import export_format, formats
from tf_mvae.serving.conversion import other_latents

NOISE = np.random.default_rng(0).normal(size=[3, 8, tiny.LATENT_DIM]).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    """A model whose posterior needs operations that few runtimes have."""
    return tiny.make_any(BiVCCA, batch_norm=True)


@pytest.fixture(scope="module")
def inputs():
    """Every presence pattern, with NaN for missing values."""
    batch = tiny.make_batch()
    for name in ("image", "reading"):
        batch["x"][name][batch["mask"][name] == 0] = np.nan
    masks = {f"{name}_mask": mask for name, mask in batch["mask"].items()}
    return {**batch["x"], **masks, "noise": NOISE, "temperature": np.array(0.5, np.float32)}


def assert_agrees(model, inputs, answer):
    """Compares generated values with the model's own, by another way than the export's."""
    x = {name: inputs[name] for name in tiny.NAMES}
    posterior = model.posterior(x, {name: inputs[f"{name}_mask"] for name in tiny.NAMES})
    z = posterior.mean() + 0.5 * posterior.stddev() * NOISE
    expected = {f"expected_{name}": value for name, value in model.from_latent(z).items()}
    assert set(answer) == {"z", *expected}
    for name, value in {"z": z, **expected}.items():
        np.testing.assert_allclose(answer[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


def test_onnx(model, inputs, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    place, difference = export_format(model, tmp_path / "out", "onnx", card=CARD)
    assert place == tmp_path / "out" / "1" and 0 < difference < 1e-5
    assert {path.name for path in place.iterdir()} == {
        "encode.onnx", "decode.onnx", "generate.onnx", "tf_mvae.json", "model_card.md",
        "model_card.json",
    }  # fmt: skip
    session = runtime.InferenceSession(place / "generate.onnx")
    values = session.run(None, {part.name: inputs[part.name] for part in session.get_inputs()})
    assert_agrees(
        model, inputs, dict(zip([o.name for o in session.get_outputs()], values, strict=True))
    )
    described = json.loads((place / "tf_mvae.json").read_text())
    assert described["format"] == "onnx" and set(described["functions"]) == {
        "encode", "decode", "generate"
    }  # fmt: skip
    noise = described["functions"]["generate"]["inputs"]["noise"]
    assert noise["shape"] == ["num_samples", "batch", tiny.LATENT_DIM]
    assert max(described["largest_difference"].values()) == difference


def test_tflite(model, inputs, tmp_path):
    place, difference = export_format(model, tmp_path, "tflite", version=3)
    assert place == tmp_path / "3" and 0 < difference < 1e-5
    interpreter = tf.lite.Interpreter(str(place / "model.tflite"))
    assert set(interpreter.get_signature_list()) == {"encode", "decode", "generate"}
    assert_agrees(model, inputs, interpreter.get_signature_runner("generate")(**inputs))


def test_keras(model, tmp_path):
    place, difference = export_format(model, tmp_path, "keras")
    assert difference == 0
    loaded = keras.models.load_model(place / "model.keras")
    tiny.assert_close(loaded(tiny.make_batch()), model(tiny.make_batch()), 0, 0)
    with pytest.raises(UserError, match="another format"):
        export_format(model, tmp_path, "tflite")


def test_an_export_that_disagrees_is_refused_and_nothing_is_left(model, tmp_path, monkeypatch):
    def wrong(model, functions, directory):
        runners = keras_format(model, functions, directory)
        decode = runners["decode"]
        runners["decode"] = lambda inputs: {k: v + 1e-3 for k, v in decode(inputs).items()}
        return runners

    keras_format = formats.FORMATS["keras"]
    monkeypatch.setitem(formats.FORMATS, "keras", wrong)
    with pytest.raises(UserError, match="decode differs from the model by 0.001"):
        export_format(model, tmp_path / "out", "keras")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_unknown_format_is_refused(model, tmp_path):
    with pytest.raises(UserError, match="one of keras, onnx, tflite; it is 'saved_model'"):
        export_format(model, tmp_path / "out", "saved_model")
    assert not (tmp_path / "out").exists()


def test_a_missing_package_is_named(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(UserError, match=r"pip install 'tf-mvae\[onnx\]'"):
        export_format(model, tmp_path / "out", "onnx")
    assert list((tmp_path / "out").iterdir()) == []


def test_tflite_of_sequences_has_no_loops(tmp_path):
    """Neither with this package's recurrent networks nor with Keras' own."""
    text = sequences_test.make_modality("text")
    series = Modality(
        "series",
        likelihoods.Normal([6, 2]),
        keras.Sequential([keras.layers.GRU(5)]),
        mlp_decoder([6, 2], [4]),
    )
    _, difference = export_format(MVAE([text, series], 2), tmp_path, "tflite")
    assert difference < 1e-5
    assert not series.encoder.layers[0].unroll


@keras.saving.register_keras_serializable("tests")
class Exponential(keras.layers.Layer):
    """A layer with an operation that no other runtime has."""

    def call(self, inputs):
        """Returns rows of a matrix exponential."""
        return tf.linalg.expm(inputs[:, :, None] * inputs[:, None, :])[:, 0]


@pytest.mark.parametrize("format_name", ["tflite", "onnx"])
def test_what_cannot_be_converted_is_one_line(format_name, tmp_path):
    if format_name == "onnx":
        pytest.importorskip("tf2onnx")
    series = Modality("s", likelihoods.Normal([2]), Exponential(), mlp_decoder([2], [4]))
    with pytest.raises(UserError, match="cannot be converted to .* export another") as caught:
        export_format(MVAE([series], 2), tmp_path / "out", format_name)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    if format_name == "tflite":
        assert "does not have the operations MatrixSolve" in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("format_name", ["onnx", "tflite"])
def test_likelihoods_of_tables_are_converted(format_name, tmp_path):
    if format_name == "onnx":
        pytest.importorskip("tf2onnx")
    counts = likelihoods.ZeroInflatedNegativeBinomial([1])
    parts = [likelihoods.Normal([2]), likelihoods.Categorical(3), likelihoods.Ordinal(4), counts]
    table = Modality("table", likelihoods.Columns(parts), element_mask=True)
    model = MVAE([table, Modality("counts", likelihoods.Poisson([2]))], 2)
    _, difference = export_format(model, tmp_path / "out", format_name)
    assert difference < 1e-5
    time, size = likelihoods.CensoredWeibull(), likelihoods.Normal([1])
    survival = MVAE([Modality("time", time), Modality("size", size)], 2)
    with pytest.raises(UserError, match="cannot be converted to .* a likelihood of the model"):
        export_format(survival, tmp_path / "survival", format_name)


@pytest.mark.parametrize("way", ["sampler", "refined"])
def test_other_runtimes_draw_from_the_posterior_and_say_so(way, tmp_path, caplog):
    model = tiny.make_model()
    if way == "sampler":
        model.set_sampler(MixtureDensity(model.latent_dim, model.num_columns, 2, width=4))
    model.default_latents = way
    place, _ = export_format(model, tmp_path, "tflite")
    missing = {"sampler": "sampler", "refined": "refined posterior"}[way]
    said = f"tflite has no {missing}: z is drawn from q(z | observed)"
    assert said in caplog.text
    functions = json.loads((place / "tf_mvae.json").read_text())["functions"]
    assert said in functions["generate"]["meaning"]
    assert other_latents(model, "text") == said.replace("tflite", "text")
    caplog.clear()
    export_format(model, tmp_path / "keras", "keras")
    said = "loaded from the file has latents='posterior' by default, not 'refined'"
    assert (said in caplog.text) == (way == "refined") and "z is drawn" not in caplog.text


def test_what_differs_is_noticed_next_to_what_does_not():
    @tf.function(input_signature=[tf.TensorSpec([None], name="x")])
    def function(x):
        return {"same": x, "other": tf.stack([x[0], x[0] / 0])}

    inputs = {"x": np.ones(3, np.float32)}

    def difference(*other):
        answer = {"same": np.ones(3), "other": np.array(other)}
        return formats._difference(answer, function, inputs)

    assert difference(1, np.inf) == 0
    assert difference(1.5, np.inf) == 0.5
    assert np.isnan(difference(np.nan, np.inf)) and not difference(1, 1) <= 1e-4


def test_a_mixture_has_a_keras_file(tmp_path):
    model = tiny.make_any(MoPoE)
    place, difference = export_format(model, tmp_path, "keras")
    assert difference == 0
    assert set(json.loads((place / "tf_mvae.json").read_text())["functions"]) == {
        "encode",
        "decode",
    }
    batch = tiny.make_batch()
    loaded = keras.models.load_model(place / "model.keras")
    tiny.assert_close(loaded(batch), model(batch), 0, 0)


@pytest.mark.parametrize("format_name", ["onnx", "tflite"])
def test_a_mixture_is_refused(format_name, tmp_path):
    with pytest.raises(UserError, match="a MoPoE has a mixture as its posterior.*saved_model"):
        export_format(tiny.make_any(MoPoE), tmp_path, format_name)
    assert not list(tmp_path.iterdir())
