"""Which layers belong to a model already: a layer that two models train serves neither."""

import weakref

import keras

from tf_mvae.errors import UserError
from tf_mvae.modality import Modality

__all__ = ["check_unowned", "own"]

# The owner of each layer with weights. Entries are removed with their layers.
_OWNERS: "weakref.WeakKeyDictionary[keras.layers.Layer, str]" = weakref.WeakKeyDictionary()


def check_unowned(layer: keras.layers.Layer, what: str) -> None:
    """Checks that a layer and those in it belong to no model yet.

    Args:
        layer: A modality or a network. Layers that are not trained may be shared.
        what: What it is, for the message.

    Raises:
        UserError: One belongs to a model already.
    """
    if layer in _OWNERS and isinstance(layer, Modality):
        raise UserError(
            f"{what} belongs to a model already, whose latent size its networks have; make new "
            "modalities for each model, such as in a function that is called for each"
        )
    for part in layer._flatten_layers():
        if part in _OWNERS and part.trainable_variables:
            raise UserError(
                f"{what} has the layer {part.name!r}, which {_OWNERS[part]} has already; make a "
                "new layer, or set its trainable=False to share it"
            )


def own(layer: keras.layers.Layer, what: str) -> None:
    """Notes that a layer and those in it belong to a model.

    Args:
        layer: A modality or a network, built.
        what: What it is, for messages.
    """
    for part in layer._flatten_layers():
        if part is layer or part.trainable_variables:
            _OWNERS[part] = what
