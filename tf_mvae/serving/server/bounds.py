"""Values that a model has no use for, and small requests for huge answers."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tf_mvae.serving.server.errors import RequestError
from tf_mvae.serving.server.settings import Settings
from tf_mvae.serving.server.signature import Field, Signature

__all__ = ["answer_bytes", "check_amount", "check_values", "with_bounds"]


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
        if mask is not None and mask.shape == values.shape:
            outside &= mask != 0
        elif mask is not None and mask.ndim and mask.shape[:1] == values.shape[:1]:
            outside = outside.reshape(len(mask), -1).any(1) & (mask != 0)
        if outside.any():
            raise RequestError(400, f"input {name!r} must lie in {low:g} to {high:g}")


def check_amount(
    signature: Signature, inputs: Mapping[str, np.ndarray], examples: int, settings: Settings
) -> int:
    """Returns how many rows the model decodes: examples, times `num_samples` if it takes that.

    Raises:
        RequestError: It is more than the settings allow, or the answer would be.
    """
    samples = _samples(inputs)
    rows = examples * samples
    said = f"{examples} examples and {samples} samples of each are asked for, which is more than"
    if examples > settings.max_examples or _answers_samples(signature):
        if rows > settings.max_examples:
            raise RequestError(
                400, f"{said} --max_examples={settings.max_examples} of this server allows"
            )
    if rows > settings.max_decoded_rows:
        raise RequestError(
            400, f"{said} --max_decoded_rows={settings.max_decoded_rows} of this server allows"
        )
    return rows


def answer_bytes(
    signature: Signature,
    inputs: Mapping[str, np.ndarray],
    examples: int,
    value_bytes: Callable[[Field], int | None],
) -> int:
    """Returns about how long the answer to a call is; 0 if the signature does not say it.

    Args:
        signature: The signature that is called.
        inputs: Its inputs, by name.
        examples: How many examples they hold.
        value_bytes: From an output to about the length of a value; None if that is not known.
    """
    rows = examples * (_samples(inputs) if _answers_samples(signature) else 1)
    total = 0
    for field in signature.outputs.values():
        each = value_bytes(field)
        if field.shape is None or each is None:
            return 0
        sizes = [size for size in field.shape if size is not None]
        free = len(field.shape) - len(sizes)
        if free > 2:
            return 0
        total += (rows if free else 1) * (math.prod(sizes) * each + len(field.name))
    return total


def _samples(inputs: Mapping[str, np.ndarray]) -> int:
    count = inputs.get("num_samples")
    if count is None or count.ndim or count.dtype.kind not in "iu":
        return 1
    return max(int(count), 1)


def _answers_samples(signature: Signature) -> bool:
    """Returns whether an output has an axis for samples, as `log_likelihood`'s have not."""
    batched = any(field.batched for field in signature.inputs.values())
    return any(
        field.shape is None or sum(size is None for size in field.shape) > batched
        for field in signature.outputs.values()
    )


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) else None
