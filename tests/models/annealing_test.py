"""The schedule of the KL weight."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tf_mvae import LinearAnnealing


@pytest.mark.parametrize(("step", "expected"), [(0, 0), (1, 0.25), (3, 0.75), (4, 1), (1000, 1)])
def test_rises_linearly_and_stays(step, expected, mode):
    weight = mode(LinearAnnealing(4))(tf.constant(step))
    assert weight.dtype == tf.float32 and weight.shape == []
    assert weight == expected


def test_no_steps_is_one_from_the_start():
    assert LinearAnnealing(0)(0) == 1


def test_another_final_weight_is_risen_to_and_saved(mode):
    weight = LinearAnnealing(4, final=0.2)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(weight))
    for schedule in (weight, again):
        values = [float(mode(schedule)(tf.constant(step))) for step in (0, 1, 4, 9)]
        np.testing.assert_allclose(values, [0, 0.05, 0.2, 0.2], rtol=1e-6)
    assert LinearAnnealing(0, final=0.5)(0) == 0.5
    with pytest.raises(ValueError, match="final must be a finite number of 0 or more; it is -1"):
        LinearAnnealing(4, -1)


def test_negative_steps_are_refused():
    with pytest.raises(ValueError, match="num_steps must be an integer of 0 or more; it is -1"):
        LinearAnnealing(-1)


def test_config_round_trip():
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(LinearAnnealing(7))
    )
    assert isinstance(again, LinearAnnealing) and again.num_steps == 7


def test_training_takes_the_weight_of_its_step_and_evaluation_takes_one():
    """With learning rate 0 and without noise the loss is A + weight * B."""
    model = tiny.make_model(kl_weight=LinearAnnealing(4))
    tiny.make_posterior_sharp(model)
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    batch = tiny.make_batch(np.ones([4, 3]))
    elbo = model.elbo(batch, seed=0)
    divergence = np.mean(np.sum(elbo.valid * elbo.kl, axis=0))
    losses = model.fit(tiny.batches(batch, 4), epochs=6, verbose=0).history["loss"]
    expected = float(elbo.loss) + divergence * (np.array([0, 0.25, 0.5, 0.75, 1, 1]) - 1)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    report = model.evaluate(tiny.batches(batch, 4), verbose=0, return_dict=True)
    np.testing.assert_allclose(report["loss"], elbo.loss, rtol=1e-5)
