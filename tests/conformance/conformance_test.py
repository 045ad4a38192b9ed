"""Checks that every likelihood, layer and model passes."""

import keras
import numpy as np
import pytest

from tests import tiny
from tests.conformance.descriptors import DESCRIPTORS


@pytest.fixture(params=DESCRIPTORS, ids=lambda descriptor: descriptor.name)
def descriptor(request):
    return request.param


@pytest.fixture
def model(descriptor):
    return descriptor.make_model(descriptor.make_part())


def test_config_round_trip(descriptor):
    part = descriptor.make_part()
    config = keras.saving.serialize_keras_object(part)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(part)
    assert keras.saving.serialize_keras_object(again) == config
    one, other = descriptor.make_model(part), descriptor.make_model(again)
    other.set_weights(one.get_weights())
    tiny.assert_close(descriptor.loss(other), descriptor.loss(one), 0, 0)


def test_saved_and_loaded_gives_the_same(descriptor, model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(model)
    tiny.assert_close(loaded.get_weights(), model.get_weights(), 0, 0)
    tiny.assert_close(descriptor.loss(loaded), descriptor.loss(model), 0, 0)


# A graph holds the operations that XLA compiles: from day to day XLA alone is compared.
@pytest.mark.parametrize("mode", ["xla", pytest.param("function", marks=pytest.mark.long)])
@pytest.mark.parametrize(
    "descriptor",
    [pytest.param(d, marks=pytest.mark.long if d.combines else ()) for d in DESCRIPTORS],
    ids=lambda descriptor: descriptor.name,
)
def test_every_mode_gives_the_same_and_gradients_reach_every_variable(descriptor, model, mode):
    variables = model.trainable_variables
    start = model.get_weights()
    results = []
    for name in ("eager", mode):
        model.set_weights(start)
        run = tiny.MODES[name](lambda: tiny.gradients_of(lambda: descriptor.loss(model), variables))
        # The weights after it too: batch norm's statistics move.
        results.append((*run(), model.get_weights()))
    for variable, gradient in zip(variables, results[0][1], strict=True):
        assert gradient is not None and np.any(gradient), variable.path
    tiny.assert_close(results[1], results[0], 1e-4, 1e-4)


def test_mixed_precision_computes_in_bfloat16_and_stays_finite(descriptor, bfloat16_policy):
    model = descriptor.make_model(descriptor.make_part())
    loss, gradients = tiny.gradients_of(lambda: descriptor.loss(model), model.trainable_variables)
    assert loss.dtype == "float32" and np.isfinite(loss)
    layers = [layer for layer in model._flatten_layers() if layer.trainable_variables]
    assert all(layer.compute_dtype == "bfloat16" for layer in layers)
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert variable.dtype == "float32"
        assert np.all(np.isfinite(gradient)), variable.path
