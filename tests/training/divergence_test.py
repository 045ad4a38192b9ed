"""A run that diverges stops before a checkpoint is written, and keeps the last one."""

import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tests.training import tiny_experiment  # noqa: F401  registers the experiment
from tf_mvae.models import BaseVAE
from tf_mvae.training import Diverged, RunConfig, load_run, make_strategy, train, trainer
from tf_mvae.training.checkpoints import Checkpoints, Position
from tf_mvae.training.divergence import FiniteCheck, non_finite

# 6 steps an epoch.
CONFIG = RunConfig(
    "tiny", latent_dim=3, epochs=3, annealing_epochs=1, batch_size=10, jit_compile=False
)


pytestmark = pytest.mark.usefixtures("training_alone")


@pytest.fixture
def poison(monkeypatch):
    """Makes the gradients of one step NaN: `poison(9)`; of none: `poison(None)`."""
    apply = BaseVAE.apply_gradients

    def at(step):
        def poisoned(self, gradients):
            if step is not None:
                bad = tf.where(tf.cast(self._batches_seen(), tf.int64) == step, math.nan, 0.0)
                gradients = [gradient + bad for gradient in gradients]
            apply(self, gradients)

        monkeypatch.setattr(BaseVAE, "apply_gradients", poisoned)

    return at


def checkpoints_of(run_dir):
    return sorted(path.name for path in (run_dir / "checkpoints").glob("step-*"))


def weights(run_dir, which="last"):
    return load_run(run_dir, which).model.get_weights()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The weights of a run that never diverged."""
    run_dir = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "draw", lambda *_: {})
        patch.setattr(trainer, "finish", lambda *_: {})
        train(CONFIG, run_dir)
    return weights(run_dir)


def test_nan_is_noticed_within_the_checkpoint_interval(tmp_path, poison, whole):
    poison(9)
    with pytest.raises(Diverged) as caught:
        train(CONFIG, tmp_path, checkpoint_steps=2)
    assert caught.value.step == 10
    message = str(caught.value)
    for words in (
        "at step 10 (all was finite at step 8)",
        "--learning_rate",
        "--clip_norm",
        "scale of the data",
        "checkpoint step-00000008 is kept",
    ):
        assert words in message
    assert "\n" not in message
    assert "step-00000010" not in checkpoints_of(tmp_path)
    assert all(np.isfinite(w).all() for w in weights(tmp_path))
    poison(None)  # whatever it was, it is gone: the run goes on from the kept checkpoint
    train(CONFIG, tmp_path)
    tiny.assert_close(weights(tmp_path), whole, 0, 0)


def test_the_state_of_an_epochs_end_is_checked_before_anything_is_written(tmp_path, poison):
    poison(11)  # the last of epoch 2: its loss is still finite
    with pytest.raises(Diverged, match="at step 12 .* at step 6"):
        train(CONFIG, tmp_path)
    assert checkpoints_of(tmp_path) == ["step-00000006"]
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1]


def test_nan_of_validation_alone_never_becomes_the_best(tmp_path, monkeypatch):
    evaluate = BaseVAE._evaluate_batch

    def poisoned(self, data):
        measured = evaluate(self, data)
        late = tf.cast(self._batches_seen(), tf.int64) > 12
        return measured._replace(loss=measured.loss + tf.where(late, math.nan, 0.0))

    monkeypatch.setattr(BaseVAE, "_evaluate_batch", poisoned)
    with pytest.raises(Diverged, match="the validation loss is nan at step 18"):
        train(CONFIG, tmp_path)
    assert checkpoints_of(tmp_path) == ["step-00000006", "step-00000012"]
    assert load_run(tmp_path, "best").checkpoint_step in (6, 12)


@pytest.mark.parametrize(
    "flags",
    [pytest.param({"ema": 0.9}, marks=pytest.mark.long), {"gradient_accumulation_steps": 4}],
    ids=lambda flags: next(iter(flags)),
)
def test_what_the_optimizer_keeps_is_checked_too(tmp_path, poison, flags):
    poison(9)
    config = CONFIG.replace(**flags)
    with pytest.raises(Diverged, match="at step 10"):
        train(config, tmp_path, checkpoint_steps=2)
    # Of 10 batches accumulated by fours, the tenth is in the accumulators and in no weight.
    assert checkpoints_of(tmp_path)[-1] == "step-00000008"


def test_replicas_notice_it_too(tmp_path, poison):
    poison(9)
    with pytest.raises(Diverged, match="at step 10"):
        train(CONFIG, tmp_path, checkpoint_steps=2, strategy=make_strategy("mirrored"))
    assert checkpoints_of(tmp_path)[-1] == "step-00000008"


def test_loss_scaling_skips_such_steps_by_design(tmp_path, poison):
    poison(9)
    config = CONFIG.replace(mixed_precision="mixed_float16", epochs=2)
    train(config, tmp_path, checkpoint_steps=2)
    assert checkpoints_of(tmp_path)[-1] == "step-00000012"
    assert all(np.isfinite(w).all() for w in weights(tmp_path))


def make_model(optimizer):
    model = tiny.make_model()
    model.compile(optimizer)
    model.optimizer.build(model.trainable_variables)
    return model


def test_every_part_of_a_state_is_named():
    model = make_model(keras.optimizers.Adam(use_ema=True, gradient_accumulation_steps=2))
    assert non_finite(model) is None
    floats = [v for v in (*model.variables, *model.optimizer.variables) if "float" in v.dtype]
    weights = len(model.trainable_variables)
    assert len(floats) > 5 * weights
    for variable in floats[:: weights - 1]:  # one of each kind: weights, moments, averages, ...
        value = variable.numpy()
        bad = np.array(value)
        bad.flat[-1] = np.inf
        variable.assign(bad)
        assert variable.path in non_finite(model)
        variable.assign(value)
    model.metrics[0].total.assign(math.nan)
    assert non_finite(model) == "the mean loss"
    assert non_finite(model, weights_only=True) is None


def test_a_loss_scale_that_only_falls_is_noticed():
    model = make_model(keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam()))
    model.metrics[0].total.assign(math.inf)  # of a step that was skipped
    check = FiniteCheck(0)
    check(model, 5, {"loss": math.inf, "val_loss": 1.0})
    model.optimizer.dynamic_scale.assign(2.0**-21)
    with pytest.raises(Diverged, match="any loss scale at step 6 .* step 5"):
        check(model, 6)


def test_a_checkpoint_of_an_earlier_version_that_is_not_finite_is_passed_over(tmp_path, caplog):
    model = make_model(keras.optimizers.Adam())
    checkpoints = Checkpoints(tmp_path, model, keep=1)
    weight = model.trainable_variables[0]
    good = weight.numpy()
    checkpoints.save(Position(1, 1, 0, {"val_loss": 2.0}))
    checkpoints.save(Position(2, 2, 0, {"val_loss": 3.0}))
    checkpoints.save(Position(3, 3, 0, {"val_loss": math.nan}))
    checkpoints.join()
    weight.assign(good * np.nan)
    checkpoints.save(Position(4, 3, 1))
    checkpoints.join()
    # The best is not the one whose validation loss is NaN.
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000001", "step-00000004"]
    assert checkpoints.restore().step == 1
    assert "step-00000004 is damaged" in caplog.text and weight.path in caplog.text
    np.testing.assert_array_equal(weight, good)
    # The one that was passed over does not count as the newest that is kept.
    checkpoints.save(Position(2, 2))
    checkpoints.join()
    assert sorted(int(p.name[5:]) for p in tmp_path.iterdir()) == [1, 2, 4]
    assert checkpoints.restore("last", model_only=True).step == 2
