"""`generate` and `sample` in a `tf.function`, under XLA and in a data pipeline."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests import tiny
from tf_mvae import MVAE, Modality, ModalityGroup, likelihoods
from tf_mvae.layers import RecurrentDecoder, RecurrentEncoder, mlp_decoder, mlp_encoder

pytestmark = pytest.mark.usefixtures("autograph")
LATENT = 2


@keras.saving.register_keras_serializable("tf_mvae_tests")
def graph_logistic(parameters):
    return tfp.distributions.Independent(tfp.distributions.Logistic(parameters, 1.0), 1)


@pytest.fixture(scope="module")
def model():
    """One modality of every likelihood."""
    kinds = {
        "bernoulli": likelihoods.Bernoulli([2]),
        "categorical": likelihoods.Categorical(3),
        "normal": likelihoods.Normal([2], scale=None),
        "laplace": likelihoods.Laplace([2]),
        "poisson": likelihoods.Poisson([2]),
        "callable": likelihoods.CallableLikelihood(graph_logistic, [2]),
    }
    modalities = [
        Modality(
            name,
            likelihood,
            mlp_encoder([4], 3 if name == "categorical" else None),
            mlp_decoder(likelihood.parameter_shape, [4]),
        )
        for name, likelihood in kinds.items()
    ]
    words = likelihoods.TokenSequence(7, 4, RecurrentDecoder(7, 3, 4, 1), 5)
    modalities.append(Modality("words", words, RecurrentEncoder(7, 3, 4), mlp_decoder([5], [4])))
    modalities.append(ModalityGroup("group", ["a", "b"], likelihoods.Bernoulli([])))
    return MVAE(modalities, LATENT)


def given():
    return {"categorical": tf.constant([0, 2])}


# A Python number is a constant of the graph, where a tensor is an argument.
@pytest.mark.parametrize(
    "as_tensor", [pytest.param(False, marks=pytest.mark.long), True], ids=["int", "tensor"]
)
def test_a_function_gives_what_an_eager_call_gives(model, as_tensor):
    number = tf.constant(3) if as_tensor else 3
    kwargs = {"seed": 4, "return_samples": True}
    if as_tensor:
        kwargs["seed"], kwargs["temperature"] = tf.constant([4, 0]), tf.constant(1.0)
    for eager, in_graph in (
        (model.generate(given(), number, **kwargs), lambda n: model.generate(given(), n, **kwargs)),
        (model.sample(number, **kwargs), lambda n: model.sample(n, **kwargs)),
    ):
        function = tf.function(in_graph)
        tiny.assert_close(function(number), eager, 1e-4, 1e-5)
    assert eager["bernoulli"].shape == (3, 2)


def test_xla_compiles_it(model):
    def draw():
        return model.generate(given(), 3, seed=4, return_samples=True)

    found, expected = tf.function(draw, jit_compile=True)(), draw()
    assert {n: v.shape for n, v in found.items()} == {n: v.shape for n, v in expected.items()}
    assert set(found["group"].numpy().ravel()) <= {0.0, 1.0}


def test_samples_are_those_of_an_uncompiled_call(model):
    found = model.sample(5, seed=2, return_samples=True)
    model.run_eagerly = True
    expected = model.sample(5, seed=2, return_samples=True)
    model.run_eagerly = False
    tiny.assert_close(found, expected, 1e-5, 1e-5)


def test_a_data_pipeline_maps_it(model):
    labels = tf.data.Dataset.from_tensor_slices(np.arange(4) % 3).batch(2)
    mapped = labels.map(
        lambda label: model.generate({"categorical": label}, 3, seed=1, return_samples=True)
    )
    for batch, label in zip(mapped, labels, strict=True):
        eager = model.generate({"categorical": label}, 3, seed=1, return_samples=True)
        del batch["poisson"], eager["poisson"]  # TFP draws others there
        tiny.assert_close(batch, eager, 1e-4, 1e-5)
