"""Several steps as one program are the steps that they would be one by one."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tf_mvae.models import MVAE
from tf_mvae.models.precision import layers_compute_in

BATCH = 4


def data_of(examples, seed=3):
    rng = np.random.default_rng(seed)
    present = (rng.uniform(size=[examples, 3]) < 0.7) | (np.arange(3) == 0)
    return tiny.make_batch(present.astype(np.float32), seed)


def trained(data, steps_per_execution, make=None, epochs=2, **kwargs):
    """Returns a model, what `fit` told of it, and the steps that its callbacks were told of."""
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


def test_a_run_is_that_of_single_steps_and_a_smaller_batch():
    data = data_of(38)
    (one, expected, _), (several, told, ends) = (trained(data, n) for n in (1, 4))
    assert several.optimizer.iterations.numpy() == one.optimizer.iterations.numpy() == 20
    assert ends == [3, 7, 11, 3, 7, 11]  # The last is two steps; Keras' number is its own.
    tiny.assert_close(several.get_weights(), one.get_weights(), 1e-4, 1e-5)
    assert told.keys() == expected.keys()
    for name, values in told.items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-4, err_msg=name)


def test_one_program_for_any_number_of_steps():
    traced = []

    class Counted(MVAE):
        def elbo(self, *args, **kwargs):
            traced.append(kwargs.get("training"))
            return super().elbo(*args, **kwargs)

    def make():
        return Counted(tiny.make_modalities(), tiny.LATENT_DIM)

    trained(data_of(40), 4, make)
    assert traced == [True]


def test_a_train_step_of_the_users_own_is_left_to_keras():
    class Own(MVAE):
        def train_step(self, data):
            return {"mine": super().train_step(data)["loss"]}

    _, told, _ = trained(data_of(40), 4, lambda: Own(tiny.make_modalities(), tiny.LATENT_DIM))
    assert list(told) == ["mine"]


def test_a_scaled_loss_goes_on_where_it_was(tmp_path):
    with layers_compute_in("mixed_float16"):
        model = tiny.make_model()
    model.compile(
        keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01)),
        jit_compile=True,
        steps_per_execution=2,
    )
    model.optimizer.build(model.trainable_variables)
    number = len(model.optimizer.variables)
    model.optimizer.dynamic_scale.assign(128.0)
    model.optimizer.step_counter.assign(7)
    model.make_train_function()
    batch = tf.nest.map_structure(tf.constant, data_of(BATCH))
    model.train_function(iter([batch] * 2))
    assert len(model.optimizer.variables) == number
    assert model.optimizer.dynamic_scale.numpy() == 128
    assert model.optimizer.step_counter.numpy() == 9


def test_no_batch_is_no_step():
    model = tiny.make_model()
    model.compile(keras.optimizers.Adam(0.01), jit_compile=True, steps_per_execution=4)
    model.make_train_function()
    with pytest.raises(StopIteration):
        model.train_function(iter([]))
    batch = tf.nest.map_structure(tf.constant, data_of(BATCH))
    model.train_function(iter([batch] * 3))
    assert model.optimizer.iterations.numpy() == 3
