"""Names of a command line and of lazy packages, and errors for unknown ones; without TensorFlow."""

import difflib
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tf_mvae.errors import UserError

__all__ = ["BASELINES", "LATENTS", "check_name", "lazy"]

BASELINES = ("logistic_regression", "supervised_network", "autoencoder", "vae", "rbm")
# Where latents are drawn from; `GenerativeModel.generate` says what each is.
LATENTS = ("sampler", "posterior", "product", "refined")


def check_name(flag: str, name: str, known: Sequence[str], more: str = "") -> None:
    """Raises an error for a flag's value that is not a known name.

    Args:
        flag: The flag, without dashes.
        name: Its value.
        known: The names.
        more: What else can be given, for the end of the message.

    Raises:
        UserError: It is none of them.
    """
    if name in known:
        return
    close = difflib.get_close_matches(name, known, 1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    more = f" ({more})" if more else ""
    raise UserError(f"--{flag}={name} is not known{hint}; there are {', '.join(known)}{more}")


def lazy(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Returns the `__getattr__` of a package whose public names are imported on first access.

    Args:
        package: Its name, `__name__`.
        modules: By public name, the package's module that defines it. No name may equal that of a
            module: importing the module would replace the name.
    """

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package}.{modules[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    return get
