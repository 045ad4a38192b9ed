"""Names of modalities and covariates made of columns' names."""

from collections.abc import Container
from typing import Any

__all__ = ["identifier"]

# What neither may be called; see `tf_mvae.Modality`.
_RESERVED = (
    *("z", "loc", "log_variance", "num_samples", "seed", "temperature"),
    *("self", "everything"),
)


def identifier(name: Any, taken: Container[str]) -> str:
    """Returns a name that is not taken, of letters, digits and underscores."""
    plain = "".join(c if c.isascii() and c.isalnum() else "_" for c in str(name))
    plain = plain if plain[:1].isalpha() else f"column_{plain}"
    if plain.endswith("_mask") or plain.lower() in _RESERVED:
        plain = f"{plain}_column"
    while plain in taken:
        plain += "_2"
    return plain
