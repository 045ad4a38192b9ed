"""Serving: SavedModels that any TensorFlow can load, and a server for them.

Public names are imported lazily, on first access. The server needs only the SavedModel, so
importing it must not import the models, which `export_saved_model` needs.
"""

from typing import TYPE_CHECKING

from tf_mvae.names import lazy

if TYPE_CHECKING:
    from tf_mvae.serving.description import describe
    from tf_mvae.serving.examples import example_inputs
    from tf_mvae.serving.export import export_saved_model, export_version
    from tf_mvae.serving.formats import export_format
    from tf_mvae.serving.model_card import ModelCard
    from tf_mvae.serving.text import export_text

_MODULES = {
    "ModelCard": "model_card",
    "describe": "description",
    "example_inputs": "examples",
    "export_format": "formats",
    "export_saved_model": "export",
    "export_text": "text",
    "export_version": "export",
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

__getattr__ = lazy(__name__, _MODULES)
