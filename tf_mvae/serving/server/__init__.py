"""A server that speaks TensorFlow Serving's REST API, for any SavedModel.

It needs TensorFlow and the `serve` extra, and nothing of this package's models.
"""

from tf_mvae.serving.server.settings import Settings

__all__ = ["Settings"]
