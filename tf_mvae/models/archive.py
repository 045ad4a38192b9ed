"""Files of weights: how many a file has; archives without the optimizer, of smaller numbers."""

import contextlib
import io
import json
import os
import zipfile
from typing import Any

import h5py
import numpy as np

__all__ = ["num_weights", "without_optimizer"]

_WEIGHTS = "model.weights.h5"
_OPTIMIZER = "optimizer"


def num_weights(path: str | os.PathLike) -> int | None:
    """Returns the number of a model's weights in a file, without the optimizer's.

    Args:
        path: A `.weights.h5` file or a `.keras` archive that Keras has read.

    Returns:
        The number; None for weights in several files, or elsewhere than on a disk.
    """
    if str(path).endswith(".json") or not os.path.isfile(path):
        return None
    found = []
    with contextlib.ExitStack() as stack:
        source: Any = path
        if str(path).endswith(".keras"):
            archive = stack.enter_context(zipfile.ZipFile(path))
            source = stack.enter_context(archive.open(_WEIGHTS))
        file = stack.enter_context(h5py.File(source, "r"))  # names are read, and no weights
        file.visititems(lambda name, item: found.append((name, isinstance(item, h5py.Dataset))))
    return sum(is_data and not _is_of_optimizer(name) for name, is_data in found)


def without_optimizer(path: str | os.PathLike, dtype: str | None = None) -> bytes:
    """Returns the content of a `.keras` archive without the optimizer.

    A model that is loaded from it predicts the same, is not compiled, and with Adam has a third of
    the size.

    Args:
        path: The archive that `model.save` wrote.
        dtype: The type of floating-point weights in the file, such as `float16`; default: theirs.
            A loaded model has its own type, float32 in general.
    """
    packed, weights = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed, "w") as new:
        with (
            h5py.File(io.BytesIO(old.read(_WEIGHTS)), "r") as full,
            h5py.File(weights, "w") as kept,
        ):
            _copy_weights(full, kept, dtype)
        for name in old.namelist():
            content = old.read(name)
            if name == _WEIGHTS:
                content = weights.getvalue()
            elif name == "config.json":
                config = json.loads(content)
                config.pop("compile_config", None)
                content = json.dumps(config).encode()
            new.writestr(name, content)
    return packed.getvalue()


def _copy_weights(full: h5py.File, kept: h5py.File, dtype: str | None) -> None:
    """Copies groups, data and attributes, but for the optimizer's."""

    def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if _is_of_optimizer(name):
            return
        if isinstance(item, h5py.Group):
            made = kept.require_group(name)
        else:
            changes = dtype is not None and item.dtype.kind == "f"
            made = kept.create_dataset(
                name, data=item[()], dtype=np.dtype(dtype) if changes else None
            )
        made.attrs.update(item.attrs)

    full.visititems(copy)


def _is_of_optimizer(name: str) -> bool:
    return name.split("/")[0] == _OPTIMIZER
