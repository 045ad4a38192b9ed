"""Values that a model has no use for, and small requests for huge answers."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tf_mvae.serving.server.errors import RequestError
from tf_mvae.serving.server.signature import Signature

__all__ = ["check_amount", "check_values", "with_bounds"]

# Samples that are streamed through the model, and not answered, may be so many times more.
_STREAMED = 256


def with_bounds(signature: Signature, description: Mapping[str, Any]) -> Signature:
    """Returns a signature with the bounds that its model's description gives its inputs.

    Args:
        signature: The signature.
        description: What `assets.extra/tf_mvae.json` says, or nothing.
    """
    try:
        described = description["signatures"][signature.name]["inputs"]
        inputs = {
            name: dataclasses.replace(
                field, low=_number(described[name]["low"]), high=_number(described[name]["high"])
            )
            for name, field in signature.inputs.items()
        }
    except (KeyError, TypeError):
        return signature
    return dataclasses.replace(signature, inputs=inputs)


def check_values(signature: Signature, inputs: Mapping[str, np.ndarray]) -> None:
    """Refuses values beyond an input's bounds, but where its mask says that none is there.

    Raises:
        RequestError: A value is beyond them.
    """
    for name, field in signature.inputs.items():
        values = inputs[name]
        if (field.low is None and field.high is None) or values.dtype == object:
            continue
        low = -math.inf if field.low is None else field.low
        high = math.inf if field.high is None else field.high
        outside = (values < low) | (values > high)
        if not outside.any():
            continue
        mask = inputs.get(f"{name}_mask")
        if mask is not None and mask.ndim and mask.shape[:1] == values.shape[:1]:
            outside = outside.reshape(len(mask), -1).any(1) & (mask != 0)
        if outside.any():
            raise RequestError(400, f"input {name!r} must lie in {low:g} to {high:g}")


def check_amount(
    signature: Signature, inputs: Mapping[str, np.ndarray], examples: int, most: int
) -> None:
    """Refuses a request for too much: its examples, times `num_samples` if it takes that.

    Raises:
        RequestError: It asks for more than `most`; of samples that are not in the answer,
            `log_likelihood`'s, 256 times as many.
    """
    count = inputs.get("num_samples")
    samples = 1
    if count is not None and count.ndim == 0 and count.dtype.kind in "iu":
        samples = max(int(count), 1)
    batched = any(field.batched for field in signature.inputs.values())
    answered = any(
        field.shape is None or sum(size is None for size in field.shape) > batched
        for field in signature.outputs.values()
    )
    if examples > most or examples * samples > most * (1 if answered else _STREAMED):
        raise RequestError(
            400,
            f"{examples} examples and {samples} samples of each are asked for, which is more "
            f"than --max_examples={most} of this server allows",
        )


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) else None
