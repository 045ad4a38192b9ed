"""Writing a SavedModel that any TensorFlow loads."""

import json
import os
import pathlib
import shutil

import tensorflow as tf

from tf_mvae.distributions.likelihoods import Categorical
from tf_mvae.errors import UserError
from tf_mvae.models import MultimodalVAE
from tf_mvae.ops.custom_op import reference_only
from tf_mvae.serving.signatures import ServedModel, signatures

__all__ = ["export_saved_model"]


def export_saved_model(model: MultimodalVAE, directory: str | os.PathLike) -> None:
    """Writes a SavedModel, whole or not at all.

    It holds no Python and no custom op: `tf.saved_model.load`, TensorFlow Serving and
    the C API serve it without this package. `tf_mvae.serving.signatures` says what its
    signatures take and give; `assets.extra/tf_mvae.json` describes the modalities.

    Args:
        model: The model.
        directory: Where to; nothing, or an empty directory, may be there.

    Raises:
        UserError: Something is there already, or nothing can be written there.

    Example:
    ```python
    export_saved_model(model, "exported")
    served = tf.saved_model.load("exported")
    served.signatures["decode"](z=tf.zeros([1, model.latent_dim]))["image"]
    ```
    """
    target = pathlib.Path(directory).expanduser()
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise UserError(f"{target} is there already; export to a directory that is not")
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with reference_only():
            functions = signatures(model)
        tf.saved_model.save(ServedModel(model), str(temporary), signatures=functions)
        extra = temporary / "assets.extra"
        extra.mkdir()
        (extra / "tf_mvae.json").write_text(json.dumps(_describe(model), indent=1))
        temporary.replace(target)
    except (OSError, tf.errors.PermissionDeniedError) as error:
        raise UserError(f"{target} cannot be written: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _describe(model: MultimodalVAE) -> dict:
    modalities = {}
    for modality in model.modalities:
        likelihood = modality.likelihood
        entry = {
            "likelihood": type(likelihood).__name__,
            "shape": list(likelihood.event_shape),
            "dtype": likelihood.dtype.name,
            "holds": likelihood.describe_range(),
        }
        if isinstance(likelihood, Categorical):
            entry["class_names"] = list(likelihood.class_names)
        modalities[modality.name] = entry
    return {"latent_dim": model.latent_dim, "modalities": modalities}
