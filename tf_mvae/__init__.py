"""Multimodal variational autoencoders for TensorFlow and Keras.

After Wu and Goodman, *Multimodal Generative Models for Scalable Weakly-Supervised
Learning*, NeurIPS 2018. See the README for the three ways to use it.
"""

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from tf_mvae import serializable

if TYPE_CHECKING:
    from tf_mvae.api import *  # noqa: F403

__version__ = "0.2.0.dev0"

serializable.register()


def __getattr__(name: str) -> Any:
    """Returns a public name of `tf_mvae.api` or a module, imported when it is first used."""
    own = name == "__all__" or not name.startswith("_")
    if own and importlib.util.find_spec(f"{__name__}.{name}") is not None:
        return importlib.import_module(f"{__name__}.{name}")
    api = importlib.import_module("tf_mvae.api") if own else None
    if not hasattr(api, name):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(api, name)
    return value


def __dir__() -> list[str]:
    """Lists the public names too."""
    return sorted({*globals(), *importlib.import_module("tf_mvae.api").__all__})
