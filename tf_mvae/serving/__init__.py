"""Serving: SavedModels that any TensorFlow can load, and a server for them.

Names are found where they live when they are asked for: the server loads a SavedModel
alone, and must not bring the models that `export_saved_model` needs.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tf_mvae.serving.export import export_saved_model
    from tf_mvae.serving.signatures import signatures

_HOMES = {
    "export_saved_model": "tf_mvae.serving.export",
    "signatures": "tf_mvae.serving.signatures",
}

__all__ = ["export_saved_model", "signatures"]


def __getattr__(name: str):
    """Finds a public name where it lives."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
