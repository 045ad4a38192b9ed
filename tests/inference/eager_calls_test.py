"""Single eager calls are compiled, with the same results as without."""

import copy

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tf_mvae import CVAE, JMVAE, MVAE, MVAEQ

MAKES = [MVAE, MVAEQ, JMVAE, CVAE]


def results(model, batch, run=lambda function: function()):
    """Returns the results of all methods."""
    x, mask = batch["x"], batch["mask"]
    names = model.conditions or ("label",)
    given = {name: x[name] for name in names}
    found = {
        "posterior": run(lambda: model.posterior(x, mask).mean()),
        "call": run(lambda: model(batch)),
        "generate": run(lambda: model.generate(given, 3, seed=5, temperature=0.5)),
        "latent_samples": run(lambda: model.latent_samples(given, 2, seed=[1, 2])),
        "decode": run(
            lambda: {
                name: distribution.mean()
                for name, distribution in model.decode(
                    np.ones([len(x["label"]), 3]), given=given
                ).items()
                if name != "label"
            }
        ),
    }
    if not model.conditions:
        found["sample"] = run(lambda: model.sample(4, seed=7))
        found["experts"] = run(
            lambda: {name: expert.stddev() for name, expert in model.experts(x, mask).items()}
        )
    return found


def without_compilation(model, batch):
    model.run_eagerly = True
    found = results(model, batch)
    model.run_eagerly = False
    return found


@pytest.mark.parametrize("make", MAKES)
def test_they_agree_with_uncompiled_calls_for_every_batch_size(make):
    model = tiny.make_any(make)
    for size in (1, 2, 5):
        batch = tiny.make_batch(np.ones([size, 3]), seed=size)
        tiny.assert_close(results(model, batch), without_compilation(model, batch), 1e-5, 1e-6)
    number = len(model._eager_calls._graphs)
    assert 0 < number < 10
    results(model, tiny.make_batch(np.ones([7, 3])))
    assert len(model._eager_calls._graphs) == number  # one graph for all sizes


def test_they_are_the_same_to_the_bit_each_time():
    model, batch = tiny.make_model(), tiny.make_batch()
    tiny.assert_close(results(model, batch), results(model, batch), 0, 0)


def test_they_follow_weights_layers_and_training(tmp_path):
    model, batch = tiny.make_model(batch_norm=True), tiny.make_batch()
    before = results(model, batch)
    model.set_weights([w + 0.1 for w in model.get_weights()])
    after = results(model, batch)
    assert not np.allclose(before["posterior"], after["posterior"])
    tiny.assert_close(after, without_compilation(model, batch), 1e-5, 1e-6)
    in_training = model.posterior(batch["x"], batch["mask"], training=True).mean()
    assert not np.allclose(in_training, after["posterior"])
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    tiny.assert_close(results(loaded, batch), results(model, batch), 1e-6, 1e-6)
    other = tiny.make_model(batch_norm=True)
    model.modalities[0].decoder = other.modalities[0].decoder
    changed = model(batch)["image"]
    assert not np.allclose(changed, after["call"]["image"])
    model.run_eagerly = True
    tiny.assert_close(changed, model(batch)["image"], 1e-5, 1e-6)


def test_they_are_no_part_of_a_copy_or_a_checkpoint(tmp_path):
    model, batch = tiny.make_model(), tiny.make_batch()
    plain = set(tf.train.Checkpoint(model=model).save(str(tmp_path / "c")) and _keys(tmp_path))
    results(model, batch)
    tf.train.Checkpoint(model=model).save(str(tmp_path / "c"))
    assert set(_keys(tmp_path)) == plain
    twin = copy.deepcopy(model)
    tiny.assert_close(results(twin, batch), results(model, batch), 1e-6, 1e-6)


def _keys(folder):
    return [name for name, _ in tf.train.list_variables(tf.train.latest_checkpoint(str(folder)))]


def test_they_work_within_functions_strategies_and_tapes():
    model, batch = tiny.make_model(), tiny.make_batch()

    def draw():
        return model.generate({"label": batch["x"]["label"]}, 3, seed=5)

    expected = draw()
    tiny.assert_close(tf.function(draw)(), expected, 1e-5, 1e-6)
    with tf.distribute.OneDeviceStrategy("/cpu:0").scope():
        tiny.assert_close(draw(), expected, 1e-5, 1e-6)
    value = model.modalities[0].expert_head.kernel.value
    with tf.GradientTape(persistent=True) as tape:
        one = tf.reduce_sum(model.posterior(batch["x"], batch["mask"]).mean())
        model.run_eagerly = True
        other = tf.reduce_sum(model.posterior(batch["x"], batch["mask"]).mean())
        model.run_eagerly = False
    tiny.assert_close(tape.gradient(one, value), tape.gradient(other, value), 1e-4, 1e-5)


@keras.saving.register_keras_serializable("tf_mvae_tests")
class NeedsValues(keras.layers.Layer):
    """A layer that only runs eagerly."""

    def call(self, inputs):
        return inputs * float(tf.reduce_mean(tf.ones_like(inputs)))

    def compute_output_shape(self, input_shape):
        return input_shape


def test_a_network_that_cannot_be_traced_is_called_eagerly():
    modalities = tiny.make_modalities()
    encoder = keras.Sequential([NeedsValues(), keras.layers.Dense(4)])
    modalities[2].encoder = encoder
    model = MVAE(modalities, 3)
    reading = np.ones([2, 3], np.float32)
    assert np.isfinite(model.posterior({"reading": reading}).mean()).all()
