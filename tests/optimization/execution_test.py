"""Several steps in one program equal single steps."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tf_mvae.models import MVAE, training
from tf_mvae.optimization import layers_compute_in

BATCH = 4


def data_of(examples, seed=3):
    rng = np.random.default_rng(seed)
    present = (rng.uniform(size=[examples, 3]) < 0.7) | (np.arange(3) == 0)
    return tiny.make_batch(present.astype(np.float32), seed)


def trained(data, steps_per_execution, make=None, epochs=2, **kwargs):
    """Returns a model, the history of `fit`, and the steps at which callbacks were called."""
    keras.utils.set_random_seed(0)
    model = (make or tiny.make_model)()
    model.compile(
        keras.optimizers.Adam(0.01), jit_compile=True, steps_per_execution=steps_per_execution
    )
    ends = []
    count = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: ends.append(batch)
    )
    told = model.fit(
        data, batch_size=BATCH, epochs=epochs, shuffle=False, verbose=0, callbacks=[count], **kwargs
    )
    return model, told.history, ends


def test_a_run_is_that_of_single_steps_and_one_program_a_shape():
    traced = []

    class Counted(MVAE):
        def elbo(self, *args, **kwargs):
            traced.append(kwargs.get("training", False))
            return super().elbo(*args, **kwargs)

    data = data_of(38)
    one, expected, _ = trained(data, 1)
    several, told, ends = trained(data, 4, lambda: Counted(tiny.make_modalities(), tiny.LATENT_DIM))
    assert several.optimizer.iterations.numpy() == one.optimizer.iterations.numpy() == 20
    assert ends == [3, 7, 11, 3, 7, 11]  # The last is two steps; Keras' number is its own.
    assert traced == [True, True]  # Of four steps and of one, and of the smaller last batch.
    tiny.assert_close(several.get_weights(), one.get_weights(), 1e-4, 1e-5)
    assert told.keys() == expected.keys()
    for name, values in told.items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-4, err_msg=name)


def test_a_train_step_of_the_users_own_is_left_to_keras(monkeypatch):
    class Own(MVAE):
        def train_step(self, data):
            return {"mine": super().train_step(data)["loss"]}

    monkeypatch.setattr(training, "several_steps", lambda *_: "ours")
    for make, ours in ((MVAE, True), (Own, False)):
        model = make(tiny.make_modalities(), tiny.LATENT_DIM)
        model.compile("adam", jit_compile=True, steps_per_execution=4)
        model.make_train_function()
        assert (model.train_function == "ours") is ours


def test_a_scaled_loss_goes_on_where_it_was_and_no_batch_is_no_step():
    with layers_compute_in("mixed_float16"):
        model = tiny.make_model()
    model.compile(
        keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01)),
        jit_compile=True,
        steps_per_execution=4,
    )
    model.optimizer.build(model.trainable_variables)
    number = len(model.optimizer.variables)
    model.optimizer.dynamic_scale.assign(128.0)
    model.optimizer.step_counter.assign(7)
    model.make_train_function()
    with pytest.raises(StopIteration):
        model.train_function(iter([]))
    batch = tf.nest.map_structure(tf.constant, data_of(BATCH))
    model.train_function(iter([batch] * 3))
    assert len(model.optimizer.variables) == number
    assert model.optimizer.dynamic_scale.numpy() == 128
    assert model.optimizer.step_counter.numpy() == 10
