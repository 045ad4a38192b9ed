"""One version of a model: a SavedModel in memory, warmed up."""

import json
import logging
import pathlib
import time

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from tf_mvae.errors import UserError
from tf_mvae.serving.server.bounds import with_bounds
from tf_mvae.serving.server.signature import Field, Signature, read_signatures

__all__ = ["ServedVersion", "is_saved_model"]

_LOG = logging.getLogger(__name__)


def is_saved_model(directory: pathlib.Path) -> bool:
    """Returns whether a directory holds a SavedModel."""
    return (directory / "saved_model.pb").is_file()


class ServedVersion:
    """A SavedModel that answers.

    It is loaded and each signature is called when this is made, which may take long and
    may fail. `run` may be called from several threads.

    Attributes:
        version: Its number.
        signatures: Its signatures, by name.
        definitions: Their `SignatureDef` messages, by name.
        batchable: The signatures whose examples do not meet: those for which a batch of two
            gave what each example gives alone.
        description: What `assets.extra/tf_mvae.json` says, or {}.
        users: How many requests are at it; the event loop counts them.
    """

    def __init__(self, directory: pathlib.Path, version: int):
        """Loads and warms up.

        Raises:
            ValueError: The directory holds no SavedModel, or one without signatures.
            UserError: It takes sentences, and tensorflow-text is not installed.
            Exception: Whatever TensorFlow raises for a SavedModel that it cannot load.
        """
        started = time.monotonic()
        self.version = version
        self.users = 0
        self.definitions = _read_definitions(directory)
        self.description = _read_description(directory)
        self.signatures = {
            name: with_bounds(signature, self.description)
            for name, signature in read_signatures(self.definitions).items()
        }
        if self.description.get("format") == "text":
            _register_text_operations()
        self._model = tf.saved_model.load(str(directory))
        self._functions = {name: self._model.signatures[name] for name in self.signatures}
        self.batchable = {
            name for name, signature in self.signatures.items() if self._warm_up(signature)
        }
        _LOG.info(
            "loaded",
            extra={
                "version": version,
                "signatures": list(self.signatures),
                "batchable": sorted(self.batchable),
                "seconds": round(time.monotonic() - started, 3),
            },
        )

    def run(self, name: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the outputs of a signature."""
        fields = self.signatures[name].inputs
        tensors = {k: tf.convert_to_tensor(v, fields[k].dtype) for k, v in inputs.items()}
        return {key: value.numpy() for key, value in self._functions[name](**tensors).items()}

    def _warm_up(self, signature: Signature) -> bool:
        """Calls a signature as a request would; returns whether its examples are independent.

        Values made up from types and shapes may not be what the model takes, so that a
        refusal here is no failure: it is logged, and the signature is not batched.
        """
        try:
            whole = {f.name: _made_up(f, 2) for f in signature.inputs.values()}
            together = self.run(signature.name, whole)
            if not signature.may_be_batched:
                return False
            for index in range(2):
                alone = {name: value[index : index + 1] for name, value in whole.items()}
                for key, value in self.run(signature.name, alone).items():
                    if value.shape[0] != 1 or not _same(together[key][index : index + 1], value):
                        return False
                    if len(together[key]) != 2:
                        return False
        except (tf.errors.OpError, ValueError, TypeError) as error:
            _LOG.warning("not warmed up", extra={"signature": signature.name, "why": str(error)})
            return False
        return True


def _read_definitions(directory: pathlib.Path) -> dict:
    message = saved_model_pb2.SavedModel()
    try:
        message.ParseFromString((directory / "saved_model.pb").read_bytes())
    except DecodeError as error:
        raise ValueError("saved_model.pb cannot be read") from error
    for graph in message.meta_graphs:
        if "serve" in graph.meta_info_def.tags:
            found = {k: v for k, v in graph.signature_def.items() if not k.startswith("__saved_")}
            if found:
                return found
    raise ValueError('it has no signatures under the tag "serve"')


def _read_description(directory: pathlib.Path) -> dict:
    try:
        found = json.loads((directory / "assets.extra" / "tf_mvae.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _register_text_operations() -> None:
    """Imports what TensorFlow loads the operations of sentences from."""
    try:
        import tensorflow_text  # noqa: F401
    except ImportError as error:
        raise UserError(
            "it takes sentences (--format=text), which needs tensorflow-text, and that is not "
            "installed: pip install 'tf-mvae[translation]'"
        ) from error


def _made_up(field: Field, batch: int) -> np.ndarray:
    """Returns a value of a field's type and shape; examples differ in it."""
    sizes = list(field.shape if field.shape is not None else (None,))
    sizes = [batch if i == 0 and n is None else 1 if n is None else n for i, n in enumerate(sizes)]
    if field.dtype == tf.string:
        return np.full(sizes, b"", object)
    if not sizes:
        return np.ones(sizes, field.numpy_dtype)
    count = int(np.prod(sizes))
    if field.dtype.is_floating:
        values = np.linspace(0, 1, count)
    else:  # 0 and 1 are in any vocabulary
        values = np.arange(count) * 2 // max(count, 1)
    return values.reshape(sizes).astype(field.numpy_dtype)


def _same(left: np.ndarray, right: np.ndarray) -> bool:
    if left.shape != right.shape:
        return False
    if left.dtype.kind not in "fc":
        return bool(np.array_equal(left, right))
    return bool(np.allclose(left, right, rtol=1e-4, atol=1e-5, equal_nan=True))
