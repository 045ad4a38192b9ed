"""SavedModels that this package did not export."""

import concurrent.futures
import shutil
import threading

import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tests.samplers.samplers_test import shaken
from tests.serving.server_tools import serving, wait_until
from tf_mvae.samplers import MixtureFlow
from tf_mvae.serving import export_saved_model
from tf_mvae.serving.server.saved_model import ServedVersion


def save(directory, function, shape):
    """Writes a SavedModel of one function of `x`."""
    spec = tf.TensorSpec(shape, name="x")
    traced = tf.function(lambda x: {"y": function(x)}, autograph=False).get_concrete_function(
        x=spec
    )
    tf.saved_model.save(tf.Module(), str(directory), signatures=traced)


def half_plus_two(x):
    return x / 2 + 2


# TensorFlow Serving's answer to [1.0, 2.0, 5.0] is [2.5, 3.0, 4.5], whatever the signature says
# of the shape: [1] in its current test model, [-1, 1] in the one before.
@pytest.mark.parametrize("shape", [[None], [1], [None, 1], None], ids=str)
def test_half_plus_two(tmp_path, shape):
    save(tmp_path / "1", half_plus_two, shape)
    with serving(tmp_path, "half_plus_two") as client:
        given, wanted = [1.0, 2.0, 5.0], [2.5, 3.0, 4.5]
        assert client.predict({"instances": given}) == (200, {"predictions": wanted})
        assert client.predict({"inputs": given}) == (200, {"outputs": wanted})
        assert client.predict({"inputs": {"x": given[:1]}}) == (200, {"outputs": wanted[:1]})
        rows = [{"x": value} for value in given]
        assert client.predict({"instances": rows}) == (200, {"predictions": wanted})
        if shape == [None, 1]:
            nested = {"instances": [[1.0], [2.0]]}
            assert client.predict(nested) == (200, {"predictions": [[2.5], [3.0]]})
        if shape == [1]:
            assert client.predict({"instances": [[1.0], [2.0]]})[0] == 400


def test_a_model_of_one_example_at_a_time(tmp_path):
    """Rows are separate calls, so they cannot affect each other."""
    save(tmp_path / "1", lambda x: x - tf.reduce_max(x), [1, 2])
    with serving(tmp_path) as client:
        found = client.predict({"instances": [[1, 2], [5, 3]]})
        assert found == (200, {"predictions": [[-1, 0], [0, -2]]})
        assert client.predict({"instances": [[1, 2, 3]]})[0] == 400


def divided_by_the_largest(x):
    """A function whose rows affect each other only for values above 50, which no probe finds."""
    return tf.where(x > 50, 100 * x / tf.maximum(tf.reduce_max(x), 100), x)


@pytest.mark.parametrize("trusted", [False, True])
def test_requests_of_strangers_meet_on_request_only(tmp_path, monkeypatch, trusted):
    save(tmp_path / "1", divided_by_the_largest, [None])
    begun, go, run = [], threading.Event(), ServedVersion.run

    def held(version, name, inputs):
        begun.append(len(inputs["x"]))
        assert go.wait(60)
        return run(version, name, inputs)

    with serving(tmp_path, num_threads=1, batch_any_model=trusted) as client:
        monkeypatch.setattr(ServedVersion, "run", held)
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            asked = [pool.submit(client.predict, {"instances": [1.0]})]
            wait_until(lambda: begun)  # The one thread is taken, so that the others wait together.
            asked += [pool.submit(client.predict, {"instances": [x]}) for x in (98.0, 1e4)]
            wait_until(lambda: client.metrics.queued._value.get() == 2)
            go.set()
            answers = [future.result()[1]["predictions"][0] for future in asked]
    if trusted:
        assert begun == [1, 2]
    else:
        assert begun == [1, 1, 1]
        np.testing.assert_allclose(answers, [1, 98, 100], rtol=1e-6)


def test_exports_of_this_package_are_batched(digits_export, tmp_path):
    own = ServedVersion(digits_export, 1)
    assert own.independent >= {"serving_default", "encode", "decode"}
    assert not own.independent & {"generate", "sample", "log_likelihood"}
    shutil.copytree(digits_export, tmp_path / "1")
    (tmp_path / "1" / "assets.extra" / "tf_mvae.json").write_text('{"signatures": {}}')
    assert ServedVersion(tmp_path / "1", 1).independent == set()


def test_an_export_with_a_sampler_is_batched_too(tmp_path):
    model = tiny.make_model()
    sampler = MixtureFlow(model.latent_dim, model.num_columns, 2, units=8, width=8)
    model.set_sampler(shaken(sampler, 0.3))
    export_saved_model(model, tmp_path / "1")
    assert "serving_default" in ServedVersion(tmp_path / "1", 1).independent
