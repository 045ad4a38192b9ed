"""Inputs with a default may be omitted in a request."""

import numpy as np
import pytest
import tensorflow as tf

from tf_mvae.serving.server.codec import parse_predict
from tf_mvae.serving.server.errors import RequestError
from tf_mvae.serving.server.settings import Settings
from tf_mvae.serving.server.signature import Field, Signature

FIELDS = [
    Field("x", tf.float32, (None, 2)),
    Field("each", tf.float32, (None,), np.array([0.5], np.float32)),
    Field("absent", tf.float32, (None, 3), np.zeros([0, 3], np.float32)),
    Field("count", tf.int32, (), np.array(7, np.int32)),
]
SIGNATURE = Signature("draw", "tensorflow/serving/predict", {f.name: f for f in FIELDS}, {})


def parse(**body):
    settings = Settings(".", "model")
    return parse_predict({"signature_name": "draw", **body}, {"draw": SIGNATURE}, settings)


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": {"x": [[1, 2], [3, 4]]}},
        {"instances": [{"x": [1, 2]}, {"x": [3, 4]}]},
    ],
)
def test_a_default_stands_for_each_example_and_an_empty_one_for_none(body):
    call = parse(**body)
    assert call.examples == 2
    np.testing.assert_array_equal(call.inputs["x"], [[1, 2], [3, 4]])
    np.testing.assert_array_equal(call.inputs["each"], [0.5, 0.5])
    assert call.inputs["absent"].shape == (0, 3) and call.inputs["count"] == 7


def test_what_is_given_is_taken():
    call = parse(inputs={"x": [[1, 2]], "each": [3], "count": 2})
    assert call.inputs["each"] == [3] and call.inputs["count"] == 2


def test_what_has_no_default_is_asked_for():
    with pytest.raises(RequestError, match="missing input: x"):
        parse(inputs={"each": [1]})
    with pytest.raises(RequestError, match="count"):  # not one an instance
        parse(instances=[{"x": [1, 2], "count": 3}])
