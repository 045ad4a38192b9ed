"""Serving: SavedModels that any TensorFlow can load."""

from tf_mvae.serving.export import export_saved_model
from tf_mvae.serving.signatures import signatures

__all__ = ["export_saved_model", "signatures"]
