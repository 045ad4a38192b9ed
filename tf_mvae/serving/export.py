"""Writing a SavedModel that any TensorFlow loads."""

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
    """Writes a SavedModel, whole or not at all.

    It holds no Python and no custom op: `tf.saved_model.load`, TensorFlow Serving and
    the C API serve it without this package. `tf_mvae.serving.signatures` says what its
    signatures take and give. In `assets.extra` are

    - `tf_mvae.json`: modalities, their bounds and vocabularies, and the fields of every
      signature (`tf_mvae.serving.describe`);
    - `model_card.md`, `model_card.json`: data, flags, metrics, limits, licence;
    - `tf_serving_warmup_requests`: a request for every signature.

    Args:
        model: The model.
        directory: Where to; nothing, or an empty directory, may be there.
        card: What is known of the model's making; nothing if omitted.

    Raises:
        UserError: Something is there already, nothing can be written there, or the model
            runs Python or an operation that is not TensorFlow's own.

    Example:
    ```python
    export_saved_model(model, "exported")
    served = tf.saved_model.load("exported")
    served.signatures["decode"](z=tf.zeros([1, model.latent_dim]))["image"]
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
    """Writes a SavedModel as a version next to others, as TensorFlow Serving looks for them.

    Args:
        model: The model.
        root: The directory of all versions; its name is the one to serve the model under.
        version: The version's number; the one after the last if omitted.
        card: What is known of the model's making; nothing if omitted.

    Returns:
        The version's directory, `ROOT/1` for the first.

    Raises:
        UserError: As for `export_saved_model`, or the version is below 1.

    Example:
    ```python
    export_version(model, "served/digits")  # served/digits/1
    export_version(model, "served/digits")  # served/digits/2
    ```
    """
    name = pathlib.Path(root).expanduser().absolute().name
    return write_version(root, _writer(model, name, card), version, marker="saved_model.pb")


def read_meta_graph(directory: str | os.PathLike) -> tf.compat.v1.MetaGraphDef:
    """Reads the graph and the signatures of a SavedModel.

    Args:
        directory: The SavedModel.
    """
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((pathlib.Path(directory) / "saved_model.pb").read_bytes())
    return saved.meta_graphs[0]


def _writer(model: BaseVAE, name: str, card: ModelCard | None) -> Callable[[pathlib.Path], None]:
    def write(directory: pathlib.Path) -> None:
        save_signatures(ServedModel(model), directory, signatures(model))
        meta_graph = read_meta_graph(directory)
        check_stock_operations(meta_graph.graph_def)
        description = describe(
            model, {k: v for k, v in meta_graph.signature_def.items() if k[0] != "_"}
        )
        extra = directory / "assets.extra"
        extra.mkdir()
        (extra / "tf_mvae.json").write_text(json.dumps(description, indent=1), encoding="utf-8")
        write_model_card(extra, card or ModelCard(), description)
        write_warmup_requests(extra / WARMUP_FILE, description, name)

    return write
