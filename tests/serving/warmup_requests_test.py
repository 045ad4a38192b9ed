"""A server runs the export's warm-up requests before it serves a version."""

import logging

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from tf_mvae.serving.server.saved_model import ServedVersion
from tf_mvae.serving.server.warmup_requests import read_warmup_requests
from tf_mvae.serving.warmup import WARMUP_FILE, predict_request


class Between(tf.Module):
    """Refuses a level outside (0, 1), and counts its calls by their number of rows."""

    def __init__(self):
        super().__init__()
        self.calls = tf.Variable(tf.zeros([4], tf.int32))

    @tf.function(
        input_signature=[tf.TensorSpec([None, 2], name="x"), tf.TensorSpec([], name="level")]
    )
    def scaled(self, x, level):
        tf.debugging.Assert((level > 0) & (level < 1), ["level must be in (0, 1)"])
        rows = tf.shape(x)[0]
        self.calls.scatter_nd_add([[rows]], [1])
        return {"y": x * level, "calls": tf.repeat(self.calls[3], rows)}


@pytest.fixture
def exported(tmp_path):
    module = Between()
    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"scaled": module.scaled})
    (tmp_path / "1" / "assets.extra").mkdir()
    return tmp_path / "1"


def write(directory, *requests):
    with tf.io.TFRecordWriter(str(directory / "assets.extra" / WARMUP_FILE)) as writer:
        for request in requests:
            log = prediction_log_pb2.PredictionLog(
                predict_log=prediction_log_pb2.PredictLog(request=request)
            )
            writer.write(log.SerializeToString())


def request(rows, level):
    inputs = {"x": np.ones([rows, 2], np.float32), "level": np.float32(level)}
    return predict_request("any", "scaled", inputs)


def test_requests_are_read_in_order_up_to_damage(exported, caplog):
    assert read_warmup_requests(exported) == []
    write(exported, request(3, 0.5), request(1, 0.25))
    found = read_warmup_requests(exported)
    assert [name for name, _ in found] == ["scaled", "scaled"]
    np.testing.assert_array_equal(found[0][1]["x"], np.ones([3, 2]))
    assert found[1][1]["level"] == 0.25
    file = exported / "assets.extra" / WARMUP_FILE
    file.write_bytes(file.read_bytes()[:-3])
    with caplog.at_level(logging.WARNING):
        assert len(read_warmup_requests(exported)) == 1
    assert "warm-up requests not read" in caplog.text


def test_a_version_runs_them_and_takes_its_shared_arguments_from_them(exported, caplog):
    with caplog.at_level(logging.WARNING):
        version = ServedVersion(exported, 1)
    assert "not warmed up" in caplog.text  # a made-up level is 1
    caplog.clear()
    write(exported, request(3, 0.5), request(1, 7.0))
    with caplog.at_level(logging.WARNING):
        version = ServedVersion(exported, 1)
    assert "not warmed up" not in caplog.text
    assert caplog.text.count("warm-up request failed") == 1
    answer = version.run("scaled", {"x": np.ones([1, 2]), "level": np.array(0.5)})
    np.testing.assert_array_equal(answer["calls"], [1])  # the request of three rows
