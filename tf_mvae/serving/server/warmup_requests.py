"""Reads the requests that an export carries for warming up; see `tf_mvae.serving.warmup`."""

import logging
import pathlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from tf_mvae.serving.warmup import WARMUP_FILE

__all__ = ["read_warmup_requests"]

_LOG = logging.getLogger(__name__)
_MOST = 1000  # as TensorFlow Serving allows


def read_warmup_requests(directory: pathlib.Path) -> list[tuple[str, dict[str, np.ndarray]]]:
    """Returns the `Predict` requests of `assets.extra/tf_serving_warmup_requests`, in order.

    A file that cannot be read is logged; the requests before the damage are returned. Requests of
    other methods are passed over.

    Args:
        directory: The SavedModel's directory.

    Returns:
        For each request the signature's name and arrays by the inputs' names; [] without a file.
    """
    path = directory / "assets.extra" / WARMUP_FILE
    found: list[tuple[str, dict[str, np.ndarray]]] = []
    if not path.is_file():
        return found
    try:
        found.extend(_requests(path))
    except (tf.errors.OpError, DecodeError, TypeError, ValueError) as error:
        _LOG.warning("warm-up requests not read", extra={"file": path.name, "why": str(error)})
    return found


def _requests(path: pathlib.Path) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    for record in tf.data.TFRecordDataset(str(path)).take(_MOST).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        if log.WhichOneof("log_type") == "predict_log":
            request = log.predict_log.request
            inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
            yield request.model_spec.signature_name or "serving_default", inputs
