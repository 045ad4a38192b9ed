"""Presets: models that `--model` names, registered at their definition."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

from tf_mvae.settings import MODELS, Setting

__all__ = ["Preset", "preset"]

Class = TypeVar("Class", bound=type)


@dataclasses.dataclass(frozen=True)
class Preset:
    """A model class that a run can name.

    Attributes:
        name: The name for `--model`.
        make: The class, a `tf_mvae.models.BaseVAE`.
        settings: The model's own settings, which other models do not accept.
        description: The first line of its documentation.
    """

    name: str
    make: Any
    settings: tuple[Setting, ...]
    description: str


def preset(name: str, *settings: Setting) -> Callable[[Class], Class]:
    """Registers a model class for `--model`.

    Args:
        name: The name for `--model`.
        *settings: The model's own settings, each the constructor's argument of its name (or of
            `Setting.argument`). They are written literally (`tf_mvae.settings.source`).

    Example:

    ```python
    @preset("jmvae", Setting("alpha", 0.1, "Weight of the divergences.", checks.non_negative))
    @keras.saving.register_keras_serializable("tf_mvae")
    class JMVAE(MultimodalVAE): ...
    ```
    """

    def register(make: Class) -> Class:
        description = (make.__doc__ or "").partition("\n")[0]
        MODELS.add(Preset(name, make, settings, description))
        return make

    return register
