"""Requests become calls: omitted inputs, and what is refused before the model runs."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tf_mvae.serving.server.codec import parse_predict
from tf_mvae.serving.server.errors import RequestError
from tf_mvae.serving.server.settings import Settings
from tf_mvae.serving.server.signature import Field, Signature
from tf_mvae.serving.server.tensor_protos import from_proto
from tf_mvae.serving.server.tensors import to_array

FIELDS = [
    Field("x", tf.float32, (None, 2)),
    Field("each", tf.float32, (None,), np.array([0.5], np.float32)),
    Field("absent", tf.float32, (None, 3), np.zeros([0, 3], np.float32)),
    Field("count", tf.int32, (), np.array(7, np.int32)),
]
SETTINGS = Settings(".", "model")
SIGNATURE = Signature("draw", "tensorflow/serving/predict", {f.name: f for f in FIELDS}, {})


def parse(**body):
    return parse_predict({"signature_name": "draw", **body}, {"draw": SIGNATURE}, SETTINGS)


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


def test_inputs_are_in_the_signatures_order_whatever_is_omitted():
    """The server compares by place which inputs two requests omit, before it joins them."""
    fields = [Field(n, tf.float32, (None, 3), np.zeros([0, 3], np.float32)) for n in ("l", "r")]
    signature = Signature("both", "tensorflow/serving/predict", {f.name: f for f in fields}, {})
    for name, sizes in (("l", [1, 0]), ("r", [0, 1])):
        body = {"signature_name": "both", "inputs": {name: [[1, 2, 3]]}}
        call = parse_predict(body, {"both": signature}, SETTINGS)
        assert list(call.inputs) == ["l", "r"]
        assert [len(array) for array in call.inputs.values()] == sizes


def test_what_json_cannot_hold_is_refused_before_the_model_runs():
    outputs = {"wave": Field("wave", tf.complex64, (None,))}
    signature = dataclasses.replace(SIGNATURE, outputs=outputs)
    with pytest.raises(RequestError, match="complex64 have no JSON form") as refused:
        parse_predict({"inputs": {"x": [[1, 2]]}}, {"serving_default": signature}, SETTINGS)
    assert refused.value.status == 501


def test_a_finite_number_of_64_bits_is_finite():
    field = Field("x", tf.float64, (None,))
    assert to_array([1e39], field, finite=True)[0] == 1e39
    with pytest.raises(RequestError, match="NaN or infinity"):
        to_array([float("inf")], field, finite=True)


def test_a_string_that_a_shape_repeats_counts_every_time():
    """A short message could ask for gigabytes."""
    field = Field("x", tf.string, (None,))
    proto = tf.make_tensor_proto(["a" * 1000])
    proto.tensor_shape.dim[0].size = 100
    assert len(from_proto(proto, field, SETTINGS)) == 100
    proto.tensor_shape.dim[0].size = 100_000
    with pytest.raises(RequestError, match="is longer than"):
        from_proto(proto, field, SETTINGS)


@pytest.mark.parametrize("name", [None, 0, [], {}])
def test_a_signatures_name_is_a_string(name):
    given = {"signature_name": name, "inputs": {"x": [[1, 2]]}}
    if name is None:
        assert parse_predict(given, {"serving_default": SIGNATURE}, SETTINGS).examples == 1
        return
    with pytest.raises(RequestError, match="must be a string"):
        parse_predict(given, {"serving_default": SIGNATURE}, SETTINGS)


def test_what_has_no_default_is_asked_for():
    with pytest.raises(RequestError, match="missing input: x"):
        parse(inputs={"each": [1]})
    with pytest.raises(RequestError, match="count"):  # not one an instance
        parse(instances=[{"x": [1, 2], "count": 3}])
