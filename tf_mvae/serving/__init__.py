"""Serving: SavedModels that any TensorFlow can load, and a server for them.

Public names are imported lazily, on first access. The server needs only the SavedModel, so
importing it must not import the models, which `export_saved_model` needs.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tf_mvae.serving.description import describe
    from tf_mvae.serving.examples import example_inputs
    from tf_mvae.serving.export import export_saved_model, export_version
    from tf_mvae.serving.formats import export_format
    from tf_mvae.serving.model_card import ModelCard
    from tf_mvae.serving.text import export_text

# Public name -> module that defines it. No name may equal that of a module in this package:
# importing the module would replace the name.
_HOMES = {
    "ModelCard": "tf_mvae.serving.model_card",
    "describe": "tf_mvae.serving.description",
    "example_inputs": "tf_mvae.serving.examples",
    "export_format": "tf_mvae.serving.formats",
    "export_saved_model": "tf_mvae.serving.export",
    "export_text": "tf_mvae.serving.text",
    "export_version": "tf_mvae.serving.export",
}

__all__ = [
    "ModelCard",
    "describe",
    "example_inputs",
    "export_format",
    "export_saved_model",
    "export_text",
    "export_version",
]


def __getattr__(name: str):
    """Imports a public name from the module that defines it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
