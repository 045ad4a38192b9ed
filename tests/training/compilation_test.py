"""The choice of XLA: measured for a new run, kept for an existing one."""

import time
import types

import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tests.training import tiny_experiment  # noqa: F401  registers the experiment
from tf_mvae.errors import UserError
from tf_mvae.training import RunConfig, compilation, train
from tf_mvae.training.compilation import with_jit_chosen
from tf_mvae.training.run_directory import RunDirectory

AUTO = RunConfig("tiny", latent_dim=3, epochs=1, batch_size=10, jit_compile="auto")


def calling_python(model):
    """Makes a model's steps slow by a Python function, which XLA cannot compile."""
    step = model.train_step

    def slowly(data):
        results = step(data)
        with tf.control_dependencies([tf.py_function(lambda: time.sleep(0.05), [], [])]):
            return {name: tf.identity(value) for name, value in results.items()}

    model.train_step = slowly
    return model


def compiled(model, config):
    model.compile("sgd", jit_compile=config.jit_compile)
    model.optimizer.build(model.trainable_variables)
    return model


def batch():
    return tf.nest.map_structure(tf.constant, tiny.make_batch())


def choose(tmp_path, make, **kwargs):
    return with_jit_chosen(AUTO, RunDirectory(tmp_path / "run"), make, batch, **kwargs).jit_compile


def test_the_quicker_way_is_taken(tmp_path, capsys):
    def xla_wins(config):
        model = compiled(tiny.make_model(), config)
        return model if config.jit_compile else calling_python(model)

    assert choose(tmp_path, xla_wins) is True
    assert "--jit_compile=true" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("compiled_steps", "expected"), [([9, 3], False), ([9, 1.5, 0.5, 1.5], True)]
)
def test_a_way_that_takes_twice_as_long_is_tried_once(
    tmp_path, monkeypatch, compiled_steps, expected
):
    """The fake clock has no times for further steps."""
    ends = np.cumsum([9, 1, 1, 1, *compiled_steps])
    clock = iter([0.0, *np.repeat(ends, 2)[:-1].tolist()])
    monkeypatch.setattr(compilation, "time", types.SimpleNamespace(perf_counter=clock.__next__))
    assert choose(tmp_path, lambda config: compiled(tiny.make_model(), config)) is expected
    assert list(clock) == []


def test_what_xla_cannot_compile_is_left_to_tensorflow(tmp_path, capsys):
    def make(config):
        return calling_python(compiled(tiny.make_model(), config))

    assert choose(tmp_path, make) is False
    assert "--jit_compile=false" in capsys.readouterr().out


@pytest.mark.parametrize(("batch_norm", "expected"), [(False, True), (True, False)])
def test_replicas_do_not_measure(tmp_path, batch_norm, expected):
    def make(config):
        return tiny.make_model(batch_norm=batch_norm)

    assert choose(tmp_path, make, replicas=True) is expected


def test_a_run_goes_on_as_it_began_and_says_how(tmp_path, nothing_exported):
    train(AUTO, tmp_path / "run")
    flags = RunDirectory(tmp_path / "run").flags
    began = RunConfig.read(flags)
    assert began.jit_compile in (True, False)
    other = began.replace(jit_compile=not began.jit_compile)
    other.write(flags)
    chosen = with_jit_chosen(AUTO, RunDirectory(tmp_path / "run"), None, None)
    assert chosen.jit_compile is other.jit_compile
    train(AUTO, tmp_path / "run")  # finished, and not a run of another configuration
    with pytest.raises(UserError, match="--jit_compile"):
        train(began, tmp_path / "run")
