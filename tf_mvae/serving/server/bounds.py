"""Checks of values against their bounds, and of the size of responses."""

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
    """Returns a signature with what the model's description says of its inputs.

    Args:
        signature: The signature.
        description: The contents of `assets.extra/tf_mvae.json`, or an empty dictionary.
    """
    try:
        described = description["signatures"][signature.name]["inputs"]
        modalities = description.get("modalities", {})
        inputs = {
            name: dataclasses.replace(
                field,
                low=_limits(described[name]["low"], field, -math.inf),
                high=_limits(described[name]["high"], field, math.inf),
                whole=_limits(modalities.get(name, {}).get("whole"), field, 0),
                is_mask=name.endswith("_mask") and name.removesuffix("_mask") in signature.inputs,
                takes_nonfinite=False,
                takes_nan=bool(modalities.get(name, {}).get("element_mask")),
            )
            for name, field in signature.inputs.items()
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        return signature
    return dataclasses.replace(signature, inputs=inputs, described=True)


def check_values(signature: Signature, inputs: Mapping[str, np.ndarray]) -> None:
    """Checks that observed values are within the bounds of their inputs; masked ones are ignored.

    Args:
        signature: The signature.
        inputs: Arrays by the inputs' names.

    Raises:
        RequestError: A value is out of bounds, or no number where that is no gap, or a mask holds
            another value than 0 and 1.
    """
    for name, field in signature.inputs.items():
        values = inputs[name]
        if field.is_mask and not ((values == 0) | (values == 1)).all():
            raise RequestError(400, f"input {name!r} must hold 0 and 1 only")
        if values.dtype.kind == "f" and not field.takes_nonfinite:
            strange = np.isinf(values) if field.takes_nan else ~np.isfinite(values)
            if _observed(strange, name, inputs).any():
                hint = f"; a missing one has 0 in {name}_mask" if f"{name}_mask" in inputs else ""
                raise RequestError(400, f"input {name!r} must hold finite numbers{hint}")
        if (field.low is None and field.high is None) or values.dtype == object:
            continue
        low = -math.inf if field.low is None else field.low
        high = math.inf if field.high is None else field.high
        outside = _observed((values < low) | (values > high), name, inputs)
        if outside.any():
            raise RequestError(400, _out_of_bounds(name, low, high, outside))
        if field.whole is not None:
            # No comparison with NaN, of a gap, holds.
            broken = (values - np.floor(values) > 0) & (field.whole > 0)
            if (broken := _observed(broken, name, inputs)).any():
                said = f"element {_first(broken)} of an example, must be a whole number"
                raise RequestError(400, f"input {name!r}, {said}")


def _observed(found: np.ndarray, name: str, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns what was found in an input, without what its mask says is missing."""
    mask = inputs.get(f"{name}_mask")
    # A mask is of examples, of the members of a group, or of single elements.
    if not found.any() or mask is None or not mask.ndim or mask.shape != found.shape[: mask.ndim]:
        return found
    return found & (mask.reshape(mask.shape + (1,) * (found.ndim - mask.ndim)) != 0)


def _first(found: np.ndarray) -> list[int]:
    """Returns where in its example the first element is of which something holds."""
    return np.argwhere(found)[0][1:].tolist()


def _out_of_bounds(
    name: str, low: float | np.ndarray, high: float | np.ndarray, outside: np.ndarray
) -> str:
    """Says which range values have to be in; elements with a range of their own are named."""
    what = f"input {name!r}"
    if np.ndim(low) or np.ndim(high):
        element = _first(outside)
        shape = outside.shape[1:]
        low, high = (np.broadcast_to(limit, shape)[tuple(element)] for limit in (low, high))
        what += f", element {element} of an example,"
    if high == math.inf:
        return f"{what} must be at least {low:g}"
    if low == -math.inf:
        return f"{what} must be at most {high:g}"
    return f"{what} must lie in {low:g} to {high:g}"


def check_amount(
    signature: Signature, inputs: Mapping[str, np.ndarray], examples: int, settings: Settings
) -> int:
    """Returns the number of rows that the model decodes: examples times `num_samples`, if given.

    Args:
        signature: The signature.
        inputs: Arrays by the inputs' names.
        examples: The number of examples.
        settings: The server's limits.

    Raises:
        RequestError: The number of examples, of rows or of output rows exceeds its limit.
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
    """Returns the estimated bytes of the response to a call; 0 if the shapes are unknown.

    Args:
        signature: The called signature.
        inputs: Arrays by the inputs' names.
        examples: The number of examples.
        value_bytes: Returns the estimated bytes per value of an output, or None if unknown.
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
    """Returns whether an output has an axis of samples (those of `log_likelihood` have none)."""
    batched = any(field.batched for field in signature.inputs.values())
    return any(
        field.shape is None or sum(size is None for size in field.shape) > batched
        for field in signature.outputs.values()
    )


def _limits(value: Any, field: Field, unbounded: float) -> float | np.ndarray | None:
    """Returns a bound of the description: a number, or an array in the shape of an example.

    Args:
        value: What the description has: a number, None, or nested lists of them.
        field: The input.
        unbounded: The bound of elements that have None.

    Raises:
        ValueError: A list does not have the shape of an example.
    """
    if not isinstance(value, list):
        return value if isinstance(value, int | float) else None
    limits = np.array(value, float)  # None becomes NaN
    limits[np.isnan(limits)] = unbounded
    if field.shape is None or limits.shape != field.shape[1:]:
        raise ValueError(f"bounds of shape {limits.shape}")
    return limits
