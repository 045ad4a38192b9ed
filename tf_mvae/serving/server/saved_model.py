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
        independent: The signatures whose examples do not depend on each other, so that requests
            may be run together or in parts. See `_are_independent`.
        description: What `assets.extra/tf_mvae.json` says, or {}.
        users: How many requests are at it; the event loop counts them.
    """

    def __init__(self, directory: pathlib.Path, version: int, batch_any_model: bool = False):
        """Loads and warms up.

        Args:
            directory: The SavedModel.
            version: Its number.
            batch_any_model: Whether examples may be independent in a model that this package
                did not export.

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
        trusted = batch_any_model or _is_own_export(self.description)
        self.independent = {
            name for name, signature in self.signatures.items() if self._warm_up(signature, trusted)
        }
        _LOG.info(
            "loaded",
            extra={
                "version": version,
                "signatures": list(self.signatures),
                "batchable": sorted(self.independent),
                "seconds": round(time.monotonic() - started, 3),
            },
        )

    def run(self, name: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the outputs of a signature."""
        fields = self.signatures[name].inputs
        tensors = {k: tf.convert_to_tensor(v, fields[k].dtype) for k, v in inputs.items()}
        return {key: value.numpy() for key, value in self._functions[name](**tensors).items()}

    def _warm_up(self, signature: Signature, trusted: bool) -> bool:
        """Calls a signature as a request would; returns whether its examples are independent.

        Values made up from types and shapes may not be what the model takes, so that a
        refusal here is no failure: it is logged, and the signature is not batched.
        """
        try:
            if signature.one_by_one:
                self.run(
                    signature.name, {f.name: _made_up(f, 1) for f in signature.inputs.values()}
                )
                return True  # each example is a call of its own
            whole = {f.name: _made_up(f, 2) for f in signature.inputs.values()}
            together = self.run(signature.name, whole)
            return (
                trusted
                and signature.may_be_batched
                and self._are_independent(signature, whole, together)
            )
        except (tf.errors.OpError, ValueError, TypeError) as error:
            _LOG.warning("not warmed up", extra={"signature": signature.name, "why": str(error)})
            return signature.one_by_one

    def _are_independent(
        self,
        signature: Signature,
        whole: dict[str, np.ndarray],
        together: dict[str, np.ndarray],
    ) -> bool:
        """Returns whether each of two examples alone gives what it gives in a batch.

        This finds examples that depend on each other for these values only: it is a second
        check of models that are known to be batched, and proves nothing of others.
        """
        for index in range(2):
            alone = {name: value[index : index + 1] for name, value in whole.items()}
            for key, value in self.run(signature.name, alone).items():
                if value.shape[0] != 1 or len(together[key]) != 2:
                    return False
                if not _same(together[key][index : index + 1], value):
                    return False
        return True


def _is_own_export(description: dict) -> bool:
    """Returns whether this package exported the model: it describes its modalities then."""
    return isinstance(description.get("modalities"), dict) and "latent_dim" in description


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
