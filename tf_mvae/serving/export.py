"""Exports a model as a SavedModel that any TensorFlow can load."""

import json
import os
import pathlib
from collections.abc import Callable

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tf_mvae.models import BaseVAE
from tf_mvae.serving.description import describe
from tf_mvae.serving.directories import write_directory, write_version
from tf_mvae.serving.model_card import ModelCard, write_model_card
from tf_mvae.serving.signatures import ServedModel, signatures
from tf_mvae.serving.tracing import check_stock_operations, save_signatures
from tf_mvae.serving.warmup import WARMUP_FILE, write_warmup_requests

__all__ = ["export_saved_model", "export_version", "read_meta_graph"]


def export_saved_model(
    model: BaseVAE, directory: str | os.PathLike, card: ModelCard | None = None
) -> None:
    """Writes a model as a SavedModel; the directory appears only when it is complete.

    The graph contains no Python function and no custom op: `tf.saved_model.load`, TensorFlow
    Serving and the C API run it without this package. `tf_mvae.serving.signatures` documents its
    signatures. `assets.extra` contains

    - `tf_mvae.json`: modalities, their bounds and vocabularies, and the inputs and outputs of each
      signature (`tf_mvae.serving.describe`);
    - `model_card.md`, `model_card.json`: data, flags, metrics, limits, licence;
    - `tf_serving_warmup_requests`: a request for each signature.

    Args:
        model: The model.
        directory: The path to create. It must not exist, or be an empty directory.
        card: Facts about the model's training, for the model card; default: an empty card.

    Raises:
        UserError: The directory exists and is not empty, or cannot be written, or the model runs a
            Python function or an operation that is not part of TensorFlow.

    Example:
    ```python
    export_saved_model(model, "exported")
    served = tf.saved_model.load("exported")
    decoded = served.signatures["decode"](z=tf.zeros([1, model.latent_dim]))
    decoded["image"].shape  # [1, 28, 28, 1]
    ```
    """
    name = pathlib.Path(directory).expanduser().absolute().name
    write_directory(directory, _writer(model, name, card))


def export_version(
    model: BaseVAE,
    root: str | os.PathLike,
    version: int | None = None,
    card: ModelCard | None = None,
) -> pathlib.Path:
    """Writes a model as a SavedModel in a numbered directory, the layout of TensorFlow Serving.

    Args:
        model: The model.
        root: The directory of all versions; its name is the served model's name.
        version: The version's number; default: the largest number plus 1.
        card: Facts about the model's training, for the model card; default: an empty card.

    Returns:
        The version's directory, `ROOT/1` for the first.

    Raises:
        UserError: As for `export_saved_model`, or the version is below 1.

    Example:
    ```python
    path = export_version(model, "served/digits")  # served/digits/1
    served = tf.saved_model.load(path)
    sorted(served.signatures)  # "decode", "encode", ...
    ```
    """
    name = pathlib.Path(root).expanduser().absolute().name
    return write_version(root, _writer(model, name, card), version, marker="saved_model.pb")


def read_meta_graph(directory: str | os.PathLike) -> tf.compat.v1.MetaGraphDef:
    """Reads the graph and the signatures of a SavedModel.

    Args:
        directory: The SavedModel's directory.
    """
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((pathlib.Path(directory) / "saved_model.pb").read_bytes())
    return saved.meta_graphs[0]


def _writer(model: BaseVAE, name: str, card: ModelCard | None) -> Callable[[pathlib.Path], None]:
    """Returns a function that writes the SavedModel and `assets.extra` into a directory."""

    def write(directory: pathlib.Path) -> None:
        save_signatures(ServedModel(model), directory, signatures(model))
        meta_graph = read_meta_graph(directory)
        check_stock_operations(meta_graph.graph_def)
        # TensorFlow's own entries (`__saved_model_init_op`) begin with an underscore.
        description = describe(
            model, {k: v for k, v in meta_graph.signature_def.items() if k[0] != "_"}
        )
        extra = directory / "assets.extra"
        extra.mkdir()
        (extra / "tf_mvae.json").write_text(json.dumps(description, indent=1), encoding="utf-8")
        write_model_card(extra, card or ModelCard(), description)
        write_warmup_requests(extra / WARMUP_FILE, description, name)

    return write
