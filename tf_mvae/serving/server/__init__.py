"""A server with TensorFlow Serving's REST and gRPC APIs, for any SavedModel.

It needs TensorFlow and the `serve` extra, but does not import this package's models.
"""

from tf_mvae.serving.server.settings import Settings

__all__ = ["Settings"]
