"""Trained models by name: those that the package carries, the Hub's, and `.keras` files."""

import os
import pathlib
from typing import Any

from tf_mvae.errors import UserError
from tf_mvae.models.sharing import from_hub, load_shared

__all__ = ["from_preset", "list_presets"]

# NAME.keras and its model card NAME.md; the first line of a card says what the model is.
_FOLDER = pathlib.Path(__file__).parents[1] / "pretrained"
_HUB = "hf://"


def list_presets() -> dict[str, str]:
    """Returns the trained models that the package carries: what each is, by name.

    Example:
    ```python
    tf_mvae.list_presets()["digits"]
    ```
    """
    found = {}
    for card in sorted(_FOLDER.glob("*.md")):
        with card.open(encoding="utf-8") as lines:
            found[card.stem] = next(lines).lstrip("# ").strip()
    return found


def from_preset(preset: str | os.PathLike) -> Any:
    """Loads a trained model, with its sampler.

    It is loaded in Keras' safe mode: nothing is unpickled and no code of a file is run.

    Args:
        preset: A name of `list_presets()`, `hf://USER/NAME` (what `push_to_hub` uploaded to the
            Hugging Face Hub), or the path of a `.keras` file.

    Returns:
        The model, a `BaseVAE`.

    Raises:
        UserError: There is no such model, or it cannot be loaded.

    Example:
    ```python
    model = tf_mvae.from_preset("digits")
    model.generate({"label": [7]}, num_samples=16)["image"]  # [16, 1, 28, 28, 1]
    ```
    """
    name = os.fspath(preset)
    if name.startswith(_HUB):
        return from_hub(name.removeprefix(_HUB))
    presets = list_presets()
    if name in presets:
        return load_shared(_FOLDER / f"{name}.keras", f"preset {name!r}")
    path = os.path.expanduser(name)
    if not os.path.isfile(path):
        raise UserError(
            f"there is no preset {name!r}; name one of {', '.join(presets)}, "
            f"{_HUB}USER/NAME, or a .keras file"
        )
    return load_shared(path, name)
