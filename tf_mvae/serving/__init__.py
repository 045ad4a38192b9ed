"""Serving: SavedModels that any TensorFlow can load, and a server for them.

Names are found where they live when they are asked for: the server loads a SavedModel
alone, and must not bring the models that `export_saved_model` needs.
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

# No name is also a module's: importing that would put the module in the name's place.
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
    """Finds a public name where it lives."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
