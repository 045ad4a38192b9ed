"""The values of a batch: which ones a modality, a mask and a weight may hold."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mvae.covariate import Covariate
from tf_mvae.errors import UserError
from tf_mvae.modality import Modality

__all__ = [
    "WEIGHT_MESSAGE",
    "assertions",
    "check_mask",
    "check_value",
    "check_weight",
    "partly_missing",
    "present_rows",
]

_NAN_HINTS = {
    "modality": "tf_mvae.from_arrays turns NaN into a mask",
    "covariate": "a covariate is given with every example: fill it in, or make it a modality",
}
WEIGHT_MESSAGE = "weight must hold finite numbers of 0 or more, one for each example"


def check_value(modality: Modality | Covariate, value: tf.Tensor, mask: tf.Tensor | None) -> None:
    """Checks the values of a modality that are present, if they are known.

    Args:
        modality: The modality, or a covariate.
        value: Raw data, `[batch, *event_shape]`; a tensor that a graph has yet to compute
            passes.
        mask: `[batch]`, a group's `[batch, member]`, or one of single elements; None if
            everything is present.

    Raises:
        UserError: A value is out of range.
    """
    known, there = _known(value), None if mask is None else _known(mask)
    if known is None or known.dtype == bool or (mask is not None and there is None):
        return
    low, high = _raw_bounds(modality, value.dtype)
    whole = modality.likelihood.whole if value.dtype.is_floating else False
    if modality.element_mask or np.ndim(low):
        known, low, high, whole = _observed(known, there, (low, high, whole), modality.element_mask)
    elif there is not None and not there.all():
        known = known[there > 0]
    if _are_pixels(modality, value.dtype):  # of 0..255, as every uint8
        if known.size > 1 and known.max() == 1:
            raise UserError(_pixel_message(modality))
        return
    # A NaN makes every comparison false.
    if np.ndim(low) or np.any(whole):
        within = bool(_are_within(known, low, high, whole).all())
    else:
        within = not known.size or (known.min() >= low and known.max() <= high)
    if not within:
        bad = known[~_are_within(known, low, high, whole)].flat[0]
        hint = f" ({_NAN_HINTS[modality.role]})" if bad != bad else ""
        raise UserError(f"{_range_message(modality)}; it holds {bad}{hint}")


def check_mask(name: str, mask: tf.Tensor) -> None:
    """Checks that a mask has only the values 0 and 1, if they are known.

    Raises:
        UserError: It has another value.
    """
    known = _known(mask)
    if known is not None and not ((known == 0) | (known == 1)).all():
        raise UserError(_mask_message(name))


def check_weight(weight: tf.Tensor) -> None:
    """Checks the weights of examples, if they are known.

    Raises:
        UserError: One is negative, infinite or NaN.
    """
    known = _known(weight)
    if known is not None and known.size:
        if not (known.min() >= 0 and known.max() <= np.finfo(np.float32).max):
            raise UserError(WEIGHT_MESSAGE)


def assertions(
    modality: Modality | Covariate,
    value: tf.Tensor,
    mask: tf.Tensor,
    check: Callable[[tf.Tensor, str], tf.Operation | None],
) -> list[tf.Operation | None]:
    """Returns the same checks as operations of a graph.

    Args:
        modality: The modality.
        value: Raw data, `[batch, *event_shape]`.
        mask: `[batch]`, a group's `[batch, member]`.
        check: Makes an assertion of a condition and a message.
    """
    binary = tf.reduce_all((mask == 0) | (mask == 1))
    checks = [check(binary, _mask_message(modality.name))]
    if value.dtype == tf.bool:
        return checks
    if _are_pixels(modality, value.dtype):
        return [*checks, check(tf.reduce_max(value) != 1, _pixel_message(modality))]
    low, high = _raw_bounds(modality, value.dtype)
    good = tf.logical_and(value >= tf.cast(low, value.dtype), value <= tf.cast(high, value.dtype))
    whole = modality.likelihood.whole
    if np.any(whole) and value.dtype.is_floating:
        good &= (value == tf.floor(value)) | tf.constant(np.logical_not(whole))
    if modality.element_mask and value.dtype.is_floating:
        good |= tf.math.is_nan(value)
    inner = [1] * (value.shape.rank - mask.shape.rank)
    there = tf.reshape(mask > 0, [-1, *mask.shape[1:], *inner])
    checks.append(check(tf.reduce_all(good | ~there), _range_message(modality)))
    return checks


def present_rows(modality: Modality, masked: np.ndarray) -> np.ndarray:
    """Returns a mask, float32 `[examples]`, from which entries of an array are missing.

    Args:
        modality: The modality; a group's mask is `[examples, member]`, one of single elements
            has the shape of `masked`.
        masked: Where an entry is missing, bool `[examples, *event_shape]`.

    Raises:
        UserError: An example has some entries of the modality and not others.
    """
    if modality.element_mask:
        return (~masked).astype(np.float32)
    lead = masked.shape[: 1 + len(modality.mask_shape)]
    rows = masked.reshape(*lead, -1)
    whole = rows.all(axis=-1)
    some = rows.any(axis=-1) & ~whole
    if some.any():
        raise UserError(partly_missing(modality.name, int(np.argwhere(some)[0][0])))
    return np.asarray(~whole, np.float32)


def partly_missing(name: str, example: int) -> str:
    """Returns the error for an example with a part of a modality."""
    return (
        f"example {example} has some numbers of modality {name!r} and not others; make each part "
        "that may be missing a modality of its own (many of one kind: tf_mvae.ModalityGroup), or "
        "the modality one with Modality(..., element_mask=True), and name the model's modalities"
    )


def _known(tensor: tf.Tensor) -> np.ndarray | None:
    """Returns the values of a tensor, or None if they are not known while a graph is traced."""
    found = tf.get_static_value(tensor)
    return None if found is None else np.asarray(found)


def _are_within(known: np.ndarray, low: Any, high: Any, whole: Any) -> np.ndarray:
    """Returns which values are between bounds, and whole numbers where they have to be."""
    return (known >= low) & (known <= high) & (np.logical_not(whole) | (known == np.floor(known)))


def _observed(
    known: np.ndarray, there: np.ndarray | None, limits: Sequence[Any], of_elements: bool
) -> list[np.ndarray]:
    """Returns the observed elements with their limits, each `[elements]`; NaN is a gap there."""
    chosen = np.ones(known.shape, bool)
    if there is not None:
        chosen &= there.reshape(there.shape + (1,) * (known.ndim - there.ndim)) > 0
    if of_elements:
        chosen &= known == known
    return [known[chosen], *(np.broadcast_to(limit, known.shape)[chosen] for limit in limits)]


def _mask_message(name: str) -> str:
    return f"mask[{name!r}] must hold 0 and 1 only"


def _range_message(modality: Modality | Covariate) -> str:
    return f"{modality.role} {modality.name!r} must hold {modality.likelihood.describe_range()}"


def _are_pixels(modality: Modality | Covariate, dtype: tf.DType) -> bool:
    of_pixels = isinstance(modality, Modality) and modality.likelihood.takes_pixels
    return of_pixels and dtype == tf.uint8


def _pixel_message(modality: Modality | Covariate) -> str:
    return (
        f"modality {modality.name!r}: numbers of type uint8 are pixels from 0 to 255, and these "
        "are 0 and 1; convert them to bool or float32"
    )


def _raw_bounds(modality: Modality | Covariate, dtype: tf.DType) -> tuple[Any, Any]:
    """Returns the bounds of raw values of a type that are no pixels.

    Each is a number, or an array of the shape of an example.
    """
    likelihood = modality.likelihood
    if dtype.is_integer or dtype.is_floating:
        return _most(likelihood.low, dtype.min, max), _most(likelihood.high, dtype.max, min)
    return likelihood.low, likelihood.high


def _most(bound: Any, of_type: Any, choose: Callable) -> Any:
    if not np.ndim(bound):
        return choose(bound, np.asarray(of_type).item())  # a float16 cannot hold the other
    return np.vectorize(choose, otypes=[float])(bound, float(of_type))
