"""A served version of a model: a SavedModel that is loaded and warmed up."""

import json
import logging
import pathlib
import time

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from tf_mvae.extras import needing
from tf_mvae.serving.server.bounds import with_bounds
from tf_mvae.serving.server.signature import Field, Signature, read_signatures
from tf_mvae.serving.server.warmup_requests import read_warmup_requests

__all__ = ["ServedVersion", "is_saved_model"]

_LOG = logging.getLogger(__name__)


def is_saved_model(directory: pathlib.Path) -> bool:
    """Returns whether a directory is a SavedModel."""
    return (directory / "saved_model.pb").is_file()


class ServedVersion:
    """A loaded SavedModel.

    The constructor loads it and calls each signature once, which may take long and may fail. `run`
    may be called from several threads.

    Attributes:
        version: The number of the version.
        signatures: The signatures, by name.
        definitions: Their `SignatureDef` messages, by name.
        independent: The names of signatures whose examples do not depend on each other, so that
            requests may be run together or in parts. See `_are_independent`.
        description: The contents of `assets.extra/tf_mvae.json`, or {}.
        users: The number of requests that use the version; the event loop counts them.
    """

    def __init__(self, directory: pathlib.Path, version: int, batch_any_model: bool = False):
        """Loads and warms up a SavedModel.

        Args:
            directory: The SavedModel's directory.
            version: The number of the version.
            batch_any_model: Whether to batch requests for a model that this package did not export,
                if its examples seem to be independent.

        Raises:
            ValueError: The directory is not a SavedModel, or has no signatures.
            UserError: The inputs are sentences, and tensorflow-text is not installed.
            Exception: TensorFlow cannot load the SavedModel.
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
        requests = read_warmup_requests(directory)
        shared = dict(reversed(requests))  # the first of each signature
        self.independent = {
            name
            for name, signature in self.signatures.items()
            if self._warm_up(signature, trusted, shared.get(name, {}))
        }
        self._replay(requests)
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
        """Runs a signature and returns its outputs by name.

        Args:
            name: The signature's name.
            inputs: Arrays by the inputs' names.
        """
        fields = self.signatures[name].inputs
        tensors = {k: tf.convert_to_tensor(v, fields[k].dtype) for k, v in inputs.items()}
        return {key: value.numpy() for key, value in self._functions[name](**tensors).items()}

    def _replay(self, requests: list[tuple[str, dict[str, np.ndarray]]]) -> None:
        """Runs the export's own warm-up requests; one that fails is logged."""
        for name, inputs in requests:
            try:
                self.run(name, inputs)
            except (tf.errors.OpError, KeyError, ValueError, TypeError) as error:
                _LOG.warning("warm-up request failed", extra={"signature": name, "why": str(error)})

    def _warm_up(self, signature: Signature, trusted: bool, shared: dict[str, np.ndarray]) -> bool:
        """Calls a signature with made-up values; returns whether its examples are independent.

        A model may reject values that are made up from types and shapes. Such an error is logged,
        and the signature is served without batching.

        Args:
            signature: The signature.
            trusted: Whether batching is allowed if the examples are independent.
            shared: A request of the export: arguments that all examples share, such as quantiles,
                have its values.
        """

        def inputs(batch: int) -> dict[str, np.ndarray]:
            fields = signature.inputs.values()
            return {
                f.name: shared[f.name] if f.name in shared and not f.batched else _made_up(f, batch)
                for f in fields
            }

        try:
            if signature.one_by_one:
                self.run(signature.name, inputs(1))
                return True  # each example is a separate call
            whole = inputs(2)
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
        """Returns whether each of two examples has the same outputs alone and in a batch.

        The check is only for these values. It is a second check for models whose examples are known
        to be independent, and no proof for others.
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
    """Returns whether this package exported the model, whose description then has modalities."""
    return isinstance(description.get("modalities"), dict) and "latent_dim" in description


def _read_definitions(directory: pathlib.Path) -> dict:
    if not is_saved_model(directory):
        there = ", ".join(sorted(path.name for path in directory.iterdir())[:5])
        raise ValueError(
            f"it has no saved_model.pb (it holds {there or 'nothing'}); a server takes exports of "
            "the format saved_model"
        )
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
    """Imports tensorflow-text, which registers the operations of sub-words."""
    with needing("a model that takes sentences (--format=text)", "translation"):
        import tensorflow_text  # noqa: F401


def _made_up(field: Field, batch: int) -> np.ndarray:
    """Returns an array of a field's type and shape, with different values for each example."""
    sizes = list(field.shape if field.shape is not None else (None,))
    sizes = [batch if i == 0 and n is None else 1 if n is None else n for i, n in enumerate(sizes)]
    if field.dtype == tf.string:
        return np.full(sizes, b"", object)
    if not sizes:
        return np.ones(sizes, field.numpy_dtype)
    count = int(np.prod(sizes))
    if field.dtype.is_floating:
        values = np.linspace(0, 1, count)
    else:  # 0 and 1 are valid in any vocabulary
        values = np.arange(count) * 2 // max(count, 1)
    return values.reshape(sizes).astype(field.numpy_dtype)


def _same(left: np.ndarray, right: np.ndarray) -> bool:
    if left.shape != right.shape:
        return False
    if left.dtype.kind not in "fc":
        return bool(np.array_equal(left, right))
    return bool(np.allclose(left, right, rtol=1e-4, atol=1e-5, equal_nan=True))
