"""Names on a command line, and errors for unknown ones; without TensorFlow."""

import difflib
from collections.abc import Sequence

from tf_mvae.errors import UserError

__all__ = ["BASELINES", "LATENTS", "check_name"]

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
