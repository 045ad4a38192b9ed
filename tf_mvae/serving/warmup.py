"""Warm-up requests: TensorFlow Serving runs them before it accepts requests of users.

They are a TFRecord file of serialised `PredictionLog`s under `assets.extra`, with one request per
signature (TensorFlow Serving allows 1,000). The message types are from `tensorflow-serving-api`,
which is small (77 KB of generated Python) and needs TensorFlow only, so it is always installed.
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
    """Returns a request to TensorFlow Serving's method `Predict`.

    Args:
        model_name: The served model's name.
        signature: The signature's name.
        inputs: Arrays by the inputs' names.

    Example:
    ```python
    from tf_mvae.serving.warmup import predict_request

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
    """Writes one example request per signature to a TFRecord file.

    Args:
        path: The file; TensorFlow Serving reads `assets.extra/tf_serving_warmup_requests`.
        description: The result of `describe`.
        model_name: The served model's name.
    """
    with tf.io.TFRecordWriter(str(pathlib.Path(path))) as writer:
        for signature in description["signatures"]:
            request = predict_request(model_name, signature, example_inputs(description, signature))
            log = prediction_log_pb2.PredictionLog(
                predict_log=prediction_log_pb2.PredictLog(request=request)
            )
            writer.write(log.SerializeToString(deterministic=True))
