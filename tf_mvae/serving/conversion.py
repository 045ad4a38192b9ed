"""What exports in other formats have in common."""

import re
from collections.abc import Callable, Mapping

import numpy as np
from absl import logging

from tf_mvae.errors import UserError
from tf_mvae.models import BaseVAE

__all__ = ["Arrays", "Runner", "cannot_convert", "other_latents"]

Arrays = Mapping[str, np.ndarray]
Runner = Callable[[Arrays], Arrays]


def cannot_convert(what: str, runtime: str, error: Exception) -> UserError:
    """Returns the error, in one line, that a converter or a runtime raised another for.

    Args:
        what: What is converted.
        runtime: The name of the runtime.
        error: The other error.
    """
    return UserError(
        f"{what} cannot be converted to {runtime}: {_reason(error)}; a network or a likelihood of "
        "the model has such an operation: export another format (saved_model, keras)"
    )


def _reason(error: Exception) -> str:
    """Returns a converter's error in one line: the operations that it does not support, if any."""
    message = str(error).strip()
    for kind in ("Custom ops", "Flex ops", "TF Select ops"):
        found = re.search(rf"{kind}: (.+)", message)
        if found:
            return f"LiteRT does not have the operations {found[1].strip()[:200]}"
    unknown = re.search(r"No Op registered for (\w+)", message)
    if unknown:
        return f"ONNX does not have the operation {unknown[1]}"
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    failed = re.search(r"failed to legalize operation '([^']+)'", message)
    if failed:
        return f"LiteRT does not have the operation {failed[1].removeprefix('tf.')}"
    line = lines[0] if lines else type(error).__name__
    return re.sub(r"^<unknown>:0: error: (loc\(.*\): )?", "", line)[:300]


def other_latents(model: BaseVAE, format_name: str) -> str:
    """Says, also in the log, what an export draws latents from, if it is not what the model does.

    Args:
        model: The model.
        format_name: `keras`, whose file does not keep `default_latents`, or a format whose
            functions draw from the posterior.

    Returns:
        A sentence; empty if the export draws as the model does.
    """
    way = model._latents_way(None)
    absent = {"sampler": "sampler", "refined": "refined posterior"}
    said = ""
    if format_name == "keras":
        kept = model._usual_latents
        if way != kept:
            said = f"a model loaded from the file has latents={kept!r} by default, not {way!r}"
    elif way in absent:
        said = f"{format_name} has no {absent[way]}: z is drawn from q(z | observed)"
    if said:
        logging.warning("%s", said)
    return said
