"""The structure of a batch: how it is taken apart, and which names, shapes and types fit."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_mvae.covariate import Covariate
from tf_mvae.errors import UserError
from tf_mvae.modality import Modality

__all__ = [
    "Parts",
    "check_lengths",
    "check_mask",
    "check_names",
    "check_value",
    "check_weight",
    "dtype_of",
    "split",
    "to_tensor",
]


class Parts(NamedTuple):
    """A batch as it was given, taken apart."""

    x: Mapping[str, Any]
    mask: Mapping[str, Any]
    weight: Any


def split(batch: Any) -> Parts:
    """Takes a batch, in any of its forms, apart; see `tf_mvae.batch.unpack`.

    Raises:
        UserError: It has none of them.
    """
    weight = None
    if isinstance(batch, tuple | list) and 0 < len(batch) <= 3 and _is_batch(batch[0]):
        if len(batch) > 1 and batch[1] is not None and not _is_none(batch[1]):
            raise UserError(
                "the second of a tuple is Keras' targets, which this model has none of: give "
                "(batch, None, weight), or weights as batch['weight']"
            )
        weight = batch[2] if len(batch) == 3 and not _is_none(batch[2]) else None
        batch = batch[0]
    if not isinstance(batch, Mapping):
        raise UserError(
            'a batch is {"x": {name: array}, "mask": {name: array}}; this one is a '
            f"{type(batch).__name__}"
        )
    if not isinstance(batch.get("x"), Mapping):
        return Parts(batch, {}, weight)
    unknown = set(batch) - {"x", "mask", "weight"}
    if unknown:
        raise UserError(f"a batch has the keys 'x', 'mask' and 'weight', and not {sorted(unknown)}")
    mask = {} if batch.get("mask") is None else batch["mask"]
    if not isinstance(mask, Mapping):
        raise UserError(
            f'a batch\'s "mask" is {{name: array}} like its "x"; it is a {type(mask).__name__}'
        )
    if weight is not None and batch.get("weight") is not None:
        raise UserError("a batch has its weights twice: in batch['weight'] and as sample_weight")
    return Parts(batch["x"], mask, batch.get("weight") if weight is None else weight)


def _is_batch(value: Any) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, tuple | list) and len(value) == 1 and isinstance(value[0], Mapping)
    )


def _is_none(value: Any) -> bool:
    return value is None or isinstance(value, tf.NoneTensorSpec)


def check_lengths(
    x: Mapping[str, tf.Tensor], mask: Mapping[str, tf.Tensor], weight: tf.Tensor | None
) -> None:
    """Checks that all parts of a batch have equally many examples, if the numbers are known."""
    lengths = {name: value.shape[0] for name, value in x.items()}
    lengths |= {f"mask[{name!r}]": value.shape[0] for name, value in mask.items()}
    if weight is not None:
        lengths["weight"] = weight.shape[0]
    if len(set(lengths.values()) - {None}) > 1:
        raise UserError(f"the batch's modalities and masks differ in length: {lengths}")


def to_tensor(value: Any, what: str) -> tf.Tensor:
    """Returns a tensor of what was given; `what` names it in the message."""
    try:
        return tf.convert_to_tensor(value)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{what} is no array of numbers (tf_mvae.from_arrays turns None and NaN into masks): "
            f"{str(error).splitlines()[0]}"
        ) from error


def check_names(part: str, given: Mapping[str, Any], by_name: Mapping[str, Modality]) -> None:
    """Checks that a part of a batch (`x`, `mask`) names modalities of the model only."""
    for name in given:
        if name == "x" and isinstance(given[name], Mapping):
            raise UserError("this takes the arrays alone: give batch['x'], and mask=batch['mask']")
        if name not in by_name:
            raise UserError(f"{part} has the key {name!r}; the modalities are {list(by_name)}")


def check_value(modality: Modality | Covariate, shape: tf.TensorShape, dtype: tf.DType) -> None:
    """Checks the shape and the type of a modality's or a covariate's values."""
    likelihood = modality.likelihood
    if not shape.rank or not likelihood.fits(shape[1:]):
        expected = ", ".join(["batch", *map(str, likelihood.event_shape)])
        what = f"{modality.role} {modality.name!r}"
        raise UserError(f"{what} has shape [{expected}], not {shape}")
    if not likelihood.accepts(dtype):
        raise UserError(
            f"{modality.role} {modality.name!r} holds {likelihood.describe_range()}, "
            f"which cannot be read from {dtype.name}"
        )


def check_mask(modality: Modality, shape: tf.TensorShape, dtype: tf.DType) -> None:
    """Checks the shape and the type of a modality's mask."""
    name, inner = modality.name, modality.given_mask_shape
    if shape.rank != 1 and not (inner and shape.is_compatible_with([None, *inner])):
        sizes = ", ".join(["batch", *map(str, inner)])
        expected = f"[{sizes}] or [batch]" if inner else "[batch]"
        if not inner and shape.is_compatible_with([None, *modality.likelihood.event_shape]):
            expected += " (a mask of single elements: Modality(..., element_mask=True))"
        raise UserError(f"mask[{name!r}] must have shape {expected}, not {shape}")
    if not (dtype.is_floating or dtype.is_integer or dtype.is_bool):
        raise UserError(f"mask[{name!r}] must hold 0 and 1, not {dtype.name}")


def check_weight(shape: tf.TensorShape, dtype: tf.DType) -> None:
    """Checks the shape and the type of the weights of examples."""
    if shape.rank != 1 or not (dtype.is_floating or dtype.is_integer or dtype.is_bool):
        raise UserError(
            f"weight must be numbers of shape [batch], one for each example, not {dtype.name} "
            f"of shape {shape}"
        )


def dtype_of(value: np.ndarray) -> tf.DType:
    """Returns TensorFlow's type of a numpy array; `tf.string` if there is none."""
    try:
        return tf.as_dtype(value.dtype)
    except TypeError:
        return tf.string  # no likelihood reads it
