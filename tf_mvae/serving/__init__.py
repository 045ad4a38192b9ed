"""Serving: SavedModels that any TensorFlow can load."""

from tf_mvae.serving.description import describe
from tf_mvae.serving.examples import example_inputs
from tf_mvae.serving.export import export_saved_model, export_version
from tf_mvae.serving.formats import export_format
from tf_mvae.serving.model_card import ModelCard
from tf_mvae.serving.signatures import signatures

__all__ = [
    "ModelCard",
    "describe",
    "example_inputs",
    "export_format",
    "export_saved_model",
    "export_version",
    "signatures",
]
