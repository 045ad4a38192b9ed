"""Which of the layers that a model itself owns are frozen, as its configuration has it."""

from collections.abc import Iterable, Iterator
from typing import Any

import keras

from tf_mvae.modality import Modality

__all__ = ["freeze", "frozen_layers"]


def frozen_layers(model: keras.Model) -> list[str]:
    """Returns the frozen layers, each by the attributes that lead to it: `encoder/layers/0`.

    Modalities and samplers are not among them: their own configurations have theirs.
    """
    return [path for path, layer in _layers(model) if not layer.trainable]


def freeze(model: keras.Model, frozen: Iterable[str]) -> None:
    """Freezes the layers that `frozen_layers` returned, and no other."""
    frozen = set(frozen)
    for path, layer in _layers(model) if frozen else ():
        if layer.trainable == (path in frozen):
            layer.trainable = path not in frozen  # and those in it, which follow


def _layers(model: keras.Model) -> Iterator[tuple[str, keras.layers.Layer]]:
    """Yields a model's layers, once each, with their paths; those in a layer follow it."""
    seen: set[int] = set()

    def found(prefix: str, parts: Iterable[tuple[Any, Any]]) -> Iterator[tuple[str, Any]]:
        for name, part in parts:
            is_layer = isinstance(part, keras.layers.Layer)
            if str(name).startswith("_") or isinstance(part, Modality) or id(part) in seen:
                continue
            if is_layer:
                seen.add(id(part))
                yield f"{prefix}{name}", part
            if is_layer or isinstance(part, dict):
                yield from found(f"{prefix}{name}/", (vars(part) if is_layer else part).items())
            elif isinstance(part, list | tuple):
                yield from found(f"{prefix}{name}/", enumerate(part))

    own = {name: part for name, part in vars(model).items() if name != "sampler"}
    return found("", own.items())
