"""Requests that TensorFlow Serving answers before it takes any, so that no user waits.

A TFRecord file of serialised `PredictionLog`s under `assets.extra`, as TensorFlow Serving
wants it (at most 1,000; here one a signature). The messages are those of
`tensorflow-serving-api`: generated Python files of 77 KB, which need nothing that
TensorFlow does not bring, and so are no optional part of an installation.
"""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from tf_mvae.serving.examples import example_inputs

__all__ = ["WARMUP_FILE", "predict_request", "write_warmup_requests"]

WARMUP_FILE = "tf_serving_warmup_requests"


def predict_request(
    model_name: str, signature: str, inputs: Mapping[str, Any]
) -> predict_pb2.PredictRequest:
    """Returns a request of TensorFlow Serving's `Predict`.

    Args:
        model_name: The name that the model is served under.
        signature: A signature's name.
        inputs: Arrays by the inputs' names.

    Example:
    ```python
    request = predict_request("digits", "decode", {"z": np.zeros([1, 64], np.float32)})
    ```
    """
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model_name
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


def write_warmup_requests(
    path: str | os.PathLike, description: Mapping[str, Any], model_name: str
) -> None:
    """Writes one request for every signature.

    Args:
        path: Where to; TensorFlow Serving reads `assets.extra/tf_serving_warmup_requests`.
        description: What `describe` returns.
        model_name: The name that the model is served under.
    """
    with tf.io.TFRecordWriter(str(pathlib.Path(path))) as writer:
        for signature in description["signatures"]:
            request = predict_request(model_name, signature, example_inputs(description, signature))
            log = prediction_log_pb2.PredictionLog(
                predict_log=prediction_log_pb2.PredictLog(request=request)
            )
            writer.write(log.SerializeToString(deterministic=True))
