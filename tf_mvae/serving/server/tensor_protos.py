"""Converts `TensorProto` messages to arrays and back, and makes gRPC responses."""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis.predict_pb2 import PredictResponse

from tf_mvae.serving.server.errors import RequestError
from tf_mvae.serving.server.settings import Settings
from tf_mvae.serving.server.signature import Field, Signature
from tf_mvae.serving.server.tensors import check_finite, check_shape, refusal

__all__ = ["TensorAnswer", "from_proto", "to_proto"]

# The field of a TensorProto with the values of a type, if they are not in `tensor_content`.
_VALUES = {
    tf.float32: "float_val",
    tf.float64: "double_val",
    tf.int8: "int_val",
    tf.int16: "int_val",
    tf.int32: "int_val",
    tf.uint8: "int_val",
    tf.uint16: "int_val",
    tf.uint32: "uint32_val",
    tf.int64: "int64_val",
    tf.uint64: "uint64_val",
    tf.bool: "bool_val",
    tf.float16: "half_val",
    tf.bfloat16: "half_val",
    tf.string: "string_val",
}


def from_proto(proto: TensorProto, field: Field, settings: Settings) -> np.ndarray:
    """Converts a message to the array of an input.

    Values are in `tensor_content` or in the field of their type. As in TensorFlow, if there are too
    few values, the last one is repeated.

    Args:
        proto: The message.
        field: The input.
        settings: The server's limits.

    Raises:
        RequestError: The type or shape is wrong, or the values do not fit the shape.
    """
    name = _type_name(proto.dtype)
    if field.dtype not in _VALUES:
        raise RequestError(501, f"tensors of type {field.dtype.name} are not served")
    if proto.dtype != field.dtype.as_datatype_enum:
        raise refusal(field, f"takes {field.describe()}; {name} was sent")
    shape = [dim.size for dim in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or min(shape, default=0) < 0:
        raise refusal(field, f"takes {field.describe()}; an unknown shape was sent")
    check_shape(shape, field)
    # A short message may have a huge shape: one value is repeated, or rows are empty.
    size = math.prod(length for length in shape if length) * field.numpy_dtype.itemsize
    if size > settings.max_body_bytes:
        raise refusal(field, f"of shape {shape} is longer than {settings.max_body_bytes} bytes")
    array = _values(proto, field, shape, settings.max_body_bytes).reshape(shape)
    if not settings.accept_nonfinite:
        check_finite(array, field)
    return array


def to_proto(array: np.ndarray, dtype: tf.DType, as_content: bool = True) -> TensorProto:
    """Converts an output to a message.

    Args:
        array: The output; strings are bytes in an array of objects.
        dtype: The output's type.
        as_content: Whether numbers are in `tensor_content`; otherwise in the field of their type.
    """
    proto = TensorProto(dtype=dtype.as_datatype_enum)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if dtype == tf.string:
        proto.string_val.extend(array.ravel().tolist())
    elif as_content or dtype not in _VALUES:
        proto.tensor_content = array.tobytes()
    else:
        if _VALUES[dtype] == "half_val":
            array = array.view(np.uint16) if array.ndim else array[None].view(np.uint16)
        getattr(proto, _VALUES[dtype]).extend(array.ravel().tolist())
    return proto


@dataclasses.dataclass(frozen=True)
class TensorAnswer:
    """The format of a response of the gRPC API: a `PredictResponse`.

    Attributes:
        signature: The called signature.
        names: The names of the requested outputs.
        model_name: The model's name.
        version: The called version.
        as_content: Whether numbers are in `tensor_content`.
    """

    signature: Signature
    names: tuple[str, ...]
    model_name: str
    version: int
    as_content: bool = True

    def value_bytes(self, field: Field) -> int | None:
        """Returns the bytes per value of an output, or None if unknown."""
        if field.name not in self.names:
            return 0
        return None if field.kind == "string" else field.numpy_dtype.itemsize

    def write(self, outputs: Mapping[str, np.ndarray], examples: int) -> dict[str, np.ndarray]:
        """Returns the requested outputs."""
        return {name: outputs[name] for name in self.names}

    def join(self, parts: list[dict[str, np.ndarray]]) -> list[bytes]:
        """Returns the serialized message."""
        response = PredictResponse()
        response.model_spec.name = self.model_name
        response.model_spec.version.value = self.version
        response.model_spec.signature_name = self.signature.name
        for name in self.names:
            arrays = [part[name] for part in parts]
            array = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
            dtype = self.signature.outputs[name].dtype
            response.outputs[name].CopyFrom(to_proto(array, dtype, self.as_content))
        return [response.SerializeToString()]


def _values(proto: TensorProto, field: Field, shape: list[int], most: int) -> np.ndarray:
    """Returns the values of a message as a flat array of a shape's elements, of `most` bytes."""
    count = math.prod(shape)
    if proto.tensor_content:
        return _from_content(proto.tensor_content, field, count)
    given = getattr(proto, _VALUES[field.dtype])
    if len(given) > count:
        raise refusal(field, f"has {count} values by its shape; {len(given)} were sent")
    dtype = field.numpy_dtype
    if field.kind == "string":
        repeated = (count - len(given)) * len(given[-1]) if len(given) else 0
        if repeated > most:
            raise refusal(field, f"of shape {shape} is longer than {most} bytes")
        array = np.empty(len(given), object)
        array[:] = list(given)
        fill = b""
    elif _VALUES[field.dtype] == "half_val":
        if len(given) and not 0 <= min(given) <= max(given) < 1 << 16:
            raise refusal(field, "holds values beyond 16 bits")
        array = np.array(given, np.uint16).view(dtype)
        fill = 0
    else:
        if field.kind == "int" and len(given):
            low, high = field.bounds
            if not low <= min(given) <= max(given) <= high:
                raise refusal(
                    field, f"takes {field.describe()}; its values must lie in {low} to {high}"
                )
        array = np.array(given, dtype)
        fill = 0
    if len(array) == count:
        return array
    whole = np.full(count, array[-1] if len(array) else fill, dtype)
    whole[: len(array)] = array
    return whole


def _from_content(content: bytes, field: Field, count: int) -> np.ndarray:
    if field.kind == "string":
        raise refusal(field, "holds strings, which go into string_val, not tensor_content")
    dtype = field.numpy_dtype
    if len(content) != count * dtype.itemsize:
        raise refusal(
            field,
            f"has {count * dtype.itemsize} bytes by its type and shape; "
            f"tensor_content holds {len(content)}",
        )
    if dtype == np.bool_:
        return np.frombuffer(content, np.uint8) != 0
    return np.frombuffer(content, dtype)


def _type_name(number: int) -> str:
    try:
        return tf.as_dtype(number).name
    except (TypeError, KeyError):
        return f"type {number}"
