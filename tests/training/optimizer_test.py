"""The effects of the flags of the optimizer and of precision."""

import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tests.training import tiny_experiment  # noqa: F401  registers the experiment
from tf_mvae.training import RunConfig, callbacks, finishing, load_run, train, trainer
from tf_mvae.training.averages import AveragedWeights, averaged, averages_of
from tf_mvae.training.build import build_model
from tf_mvae.training.checkpoints import Checkpoints, Position
from tf_mvae.training.splits import load_split
from tf_mvae.training.stopping import Stopped

STEPS = 6
EVERYTHING = {
    "mixed_precision": "mixed_float16",
    "gradient_accumulation_steps": 4,  # neither an epoch nor the run is a multiple of it
    "clip_norm": 0.5,
    "ema": 0.9,
    "warmup_steps": 5,
    "learning_rate_schedule": "cosine",
}


def config_of(**kwargs):
    return RunConfig("tiny", latent_dim=3, batch_size=10, **kwargs)


def weights(model):
    return [variable.numpy() for variable in model.trainable_variables]


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def batches(number, size=10):
    data = load_split(config_of(), "train").dataset.batch(size)
    return list(data.take(number))


def tensors_of(run_dir):
    """Returns the last checkpoint's tensors; names of layers are each build's own."""
    reader = tf.train.load_checkpoint(
        str(run_dir / "checkpoints" / f"step-{3 * STEPS:08d}" / "variables")
    )
    names = reader.get_variable_to_shape_map()
    return {n: reader.get_tensor(n) for n in sorted(names) if n != "_CHECKPOINTABLE_OBJECT_GRAPH"}


def test_the_learning_rate_rises_to_where_it_stays_or_falls_from():
    rates = {}
    for schedule in ("constant", "cosine"):
        config = config_of(
            learning_rate=0.5, warmup_steps=4, epochs=2, learning_rate_schedule=schedule
        )
        optimizer = build_model(config, STEPS).optimizer
        rates[schedule] = []
        for step in range(2 * STEPS + 1):
            optimizer.iterations.assign(step)
            rates[schedule].append(float(optimizer.learning_rate))
    rising = 0.5 * np.arange(4) / 4
    falling = 0.25 * (1 + np.cos(np.pi * np.arange(2 * STEPS - 3) / (2 * STEPS - 4)))
    np.testing.assert_allclose(rates["constant"], [*rising, *[0.5] * 9], atol=1e-7)
    np.testing.assert_allclose(rates["cosine"], [*rising, *falling], atol=1e-7)


def test_gathered_gradients_are_one_larger_batch():
    """Posteriors are sharp, since noise is drawn batch by batch.

    A bound makes the embedding's gradients dense: Keras' Adam squares those of equal labels one
    by one where they are sparse, and their sum where it has gathered them.
    """
    first, second = batches(2)
    both = tf.nest.map_structure(lambda *parts: tf.concat(parts, 0), first, second)
    results = []
    for steps, data in [(2, [first, second]), (1, [both])]:
        settings = {"gradient_accumulation_steps": steps, "annealing_epochs": 0, "clip_norm": 1e9}
        model = build_model(config_of(**settings), STEPS)
        tiny.make_posterior_sharp(model)
        start = weights(model)
        for batch in data:
            model.train_step(batch)
        results.append(weights(model))
    tiny.assert_close(results[0], results[1], 1e-4, 1e-5)
    assert any(np.any(np.abs(a - b) > 1e-4) for a, b in zip(results[0], start, strict=True))


def test_every_batch_has_noise_of_its_own_where_gradients_are_gathered():
    model = build_model(config_of(gradient_accumulation_steps=4), STEPS)
    seen = []
    for batch in batches(3):
        seen.append(int(model._batches_seen()))
        model.train_step(batch)
    assert seen == [0, 1, 2]


def test_the_norm_of_all_gradients_together_is_bounded():
    """Adam does not see a gradient's length, but its first moment does."""
    moments = {}
    for clip in (0.0, 1e-3):
        model = build_model(config_of(clip_norm=clip), STEPS)
        (batch,) = batches(1)
        model.train_step(batch)
        moments[clip] = [v.numpy() / 0.1 for v in model.optimizer._momentums]
    norm = np.sqrt(sum(np.sum(moment**2) for moment in moments[0.0]))
    assert norm > 1e-2
    for clipped, whole in zip(moments[1e-3], moments[0.0], strict=True):
        np.testing.assert_allclose(clipped, whole * 1e-3 / norm, rtol=1e-4, atol=1e-9)


def test_averages_are_those_of_the_weights():
    model = build_model(config_of(ema=0.75), STEPS)
    (batch,) = batches(1)
    expected = None
    for _ in range(4):
        model.train_step(batch)
        now = weights(model)
        expected = now if expected is None else [
            0.75 * old + 0.25 * new for old, new in zip(expected, now, strict=True)
        ]  # fmt: skip
    tiny.assert_close([average.numpy() for average in averages_of(model)], expected, 1e-5, 1e-6)
    with averaged(model):
        assert_same(weights(model), averages_of(model))
    assert_same(weights(model), now)
    assert averages_of(build_model(config_of(), STEPS)) is None


def test_averages_are_what_is_validated_and_weights_what_is_trained(tmp_path):
    model, plain = (build_model(config_of(ema=ema), STEPS) for ema in (0.5, 0.0))
    for one in (model, plain):
        one.run_eagerly, one.jit_compile = True, False
    validation = load_split(config_of(), "validation").dataset.batch(20)
    data = load_split(config_of(), "train").dataset.batch(10)
    seen = model.fit(
        data, validation_data=validation, callbacks=[AveragedWeights([model])], verbose=0
    )
    plain.fit(data, verbose=0)
    assert_same(weights(model), weights(plain))  # Keras has overwritten nothing
    assert seen.history["val_loss"][0] != model.evaluate(validation, verbose=0)[0]
    checkpoints = Checkpoints(tmp_path, model)
    checkpoints.save(Position(STEPS, 1))
    assert checkpoints.restore("best", model_only=True).step == STEPS
    assert_same(weights(model), averages_of(model))
    assert seen.history["val_loss"][0] == model.evaluate(validation, verbose=0)[0]
    checkpoints.restore()
    assert_same(weights(model), weights(plain))


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_networks_compute_in_less_and_sums_in_float32(precision):
    model, exact = (
        build_model(config_of(mixed_precision=p), STEPS) for p in (precision, "float32")
    )
    assert keras.config.dtype_policy().name == "float32"  # it is the model's alone
    assert all(v.dtype == "float32" for v in model.trainable_variables)
    (batch,) = batches(1)
    elbo, expected = model.elbo(batch), exact.elbo(batch)
    layer = model.modalities[0].encoder.layers[1]
    assert layer.compute_dtype == precision.removeprefix("mixed_")
    floats = [v for v in tf.nest.flatten(elbo) if v.dtype.is_floating]
    assert floats and {value.dtype for value in floats} == {tf.float32}
    np.testing.assert_allclose(elbo.loss, expected.loss, rtol=2e-2)
    assert elbo.loss != expected.loss


def test_a_loss_that_overflows_in_float16_is_scaled_down_and_training_goes_on():
    model = build_model(config_of(mixed_precision="mixed_float16"), STEPS)
    optimizer = model.optimizer
    assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    optimizer.dynamic_scale.assign(2.0**40)
    start = weights(model)
    (batch,) = batches(1)
    model.train_step(batch)
    assert_same(weights(model), start)
    assert optimizer.dynamic_scale.numpy() == 2.0**39
    optimizer.dynamic_scale.assign(2.0**10)
    model.train_step(batch)
    assert any(np.any(a != b) for a, b in zip(weights(model), start, strict=True))


def test_a_run_with_all_of_it_is_taken_up_to_the_bit(tmp_path, monkeypatch, nothing_exported):
    monkeypatch.setattr(trainer, "draw", lambda *_: {})
    monkeypatch.setattr(finishing, "write_pictures", lambda *_: None)
    config = config_of(epochs=3, annealing_epochs=2, jit_compile=False, **EVERYTHING)
    train(config, tmp_path / "whole")
    count = callbacks.Progress.on_train_batch_end

    def stop_at_10(self, batch, logs=None):
        count(self, batch, logs)
        if self._done == 10:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.Progress, "on_train_batch_end", stop_at_10)
        try:
            train(config, tmp_path / "stopped")
        except Stopped as stopped:
            assert stopped.step == 10
    train(config, tmp_path / "stopped")
    whole, again = (tensors_of(tmp_path / name) for name in ("whole", "stopped"))
    assert whole.keys() == again.keys() and len(whole) > 50
    assert_same(whole.values(), again.values())
    # What is exported is what was validated.
    run = load_run(tmp_path / "whole")
    loaded = keras.models.load_model(tmp_path / "whole" / "model.keras")
    (batch,) = run.batches("validation", 20)
    assert_same(tf.nest.flatten(loaded(batch)), tf.nest.flatten(run.model(batch)))
    np.testing.assert_allclose(
        run.model.evaluate(run.batches("validation", 10), verbose=0)[0],
        run.metrics["val_loss"],
        rtol=1e-5,
    )
