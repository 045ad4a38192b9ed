"""The batch contract: `{"x": {name: tensor}, "mask": {name: float32 [batch]}}`.

`mask` may be left out, whole or by name: everything is present then. What stands in a
masked-out entry is never looked at. A group of modalities is one array with a mask
`[batch, member]`, or `[batch]` for all of its members alike.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mvae.errors import UserError
from tf_mvae.modality import Modality

__all__ = [
    "check_arrays",
    "check_dataset",
    "check_element",
    "out_of_range",
    "present_mask",
    "unpack",
]


def unpack(
    batch: Any, modalities: Sequence[Modality], partial: bool = False
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Takes a batch apart and checks what can be known without looking at values.

    Args:
        batch: `{"x": {...}, "mask": {...}}`, or just `{name: tensor}` where everything
            is present.
        modalities: The modalities of the model.
        partial: Whether modalities may be left out altogether.

    Returns:
        `(x, mask)`, tensors by name; masks are float32 `[batch]`, a group's
        `[batch, member]`, one for each name in x. Where parts may be left out, members of a
        group may stand under their own names, and are put together here.

    Raises:
        UserError: A key, shape, type or mask does not fit the modalities.
    """
    x, mask = _split(batch)
    by_name = {modality.name: modality for modality in modalities}
    if partial:
        x, mask = _join_members(x, mask, modalities)
    _check_names("x", x, by_name)
    _check_names("mask", mask, by_name)
    missing = [name for name in by_name if name not in x]
    if missing and (not partial or len(missing) == len(by_name)):
        raise UserError(
            f"modality {missing[0]!r} is not in the batch; its keys are {sorted(x)} (an example "
            f"that lacks it has any placeholder in x and a 0 in mask[{missing[0]!r}])"
        )
    x = {name: _to_tensor(value, f"modality {name!r}") for name, value in x.items()}
    for name, value in x.items():
        _check_value(by_name[name], value.shape, value.dtype)
    first = next(iter(x.values()))
    ones = tf.ones(tf.shape(first)[:1])
    lengths = {name: value.shape[0] for name, value in x.items()}
    masks = {}
    for name in x:
        given = mask.get(name)
        if given is None:
            masks[name] = _for_members(ones, by_name[name])
            continue
        given = _to_tensor(given, f"mask[{name!r}]")
        _check_mask(by_name[name], given.shape, given.dtype)
        lengths[f"mask[{name!r}]"] = given.shape[0]
        masks[name] = _for_members(tf.cast(given, tf.float32), by_name[name])
    if len(set(lengths.values()) - {None}) > 1:
        raise UserError(f"the batch's modalities and masks differ in length: {lengths}")
    return x, masks


def present_mask(mask: Mapping[str, tf.Tensor], modalities: Sequence[Modality]) -> tf.Tensor:
    """Returns masks side by side, `[batch, modality]`; absent names are 0.

    Every member of a group is a modality here.
    """
    rows = tf.shape(next(iter(mask.values())))[:1]
    columns = []
    for modality in modalities:
        if modality.name in mask:
            columns.append(tf.reshape(mask[modality.name], [-1, modality.size]))
        else:
            columns.append(tf.zeros(tf.concat([rows, [modality.size]], 0)))
    return tf.concat(columns, axis=1)


def check_arrays(data: Any, modalities: Sequence[Modality]) -> dict[str, dict[str, Any]]:
    """Checks whole arrays, values too.

    Args:
        data: A batch as in `unpack`, of numpy arrays or tensors.
        modalities: The modalities of the model.

    Returns:
        The batch with every mask, float32: a bool one breaks `fit` on two replicas.

    Raises:
        UserError: Something does not fit.
    """
    x, mask = unpack(data, modalities)
    if next(iter(x.values())).shape[0] == 0:
        raise UserError("the data set is empty: its arrays have no rows")
    for modality in modalities:
        rows = np.asarray(mask[modality.name])
        if not np.isin(rows, (0, 1)).all():
            raise UserError(f"mask[{modality.name!r}] must hold 0 and 1 only")
        value = np.asarray(x[modality.name])[rows > 0]
        low, high = _raw_bounds(modality, tf.as_dtype(value.dtype))
        if not ((value >= low) & (value <= high)).all():
            raise UserError(_out_of_range(modality, value, low, high))
    return {
        "x": {name: np.asarray(value) for name, value in x.items()},
        "mask": {name: np.asarray(value) for name, value in mask.items()},
    }


def check_element(spec: Any, modalities: Sequence[Modality]) -> None:
    """Checks the element specification of a batched `tf.data.Dataset`.

    Raises:
        UserError: A key, shape or type does not fit.
    """
    x, mask = _split(spec)
    by_name = {modality.name: modality for modality in modalities}
    _check_names("x", x, by_name)
    _check_names("mask", mask, by_name)
    for name, modality in by_name.items():
        if name not in x:
            raise UserError(f"modality {name!r} is not in the data set; its keys are {sorted(x)}")
        _check_value(modality, x[name].shape, x[name].dtype)
    for name, value in mask.items():
        _check_mask(by_name[name], value.shape, value.dtype)


def check_dataset(dataset: tf.data.Dataset, modalities: Sequence[Modality]) -> tf.data.Dataset:
    """Checks a batched data set: its specification now, its values as they come.

    Args:
        dataset: Batches as in `unpack`.
        modalities: The modalities of the model.

    Returns:
        The same data set, which stops with `tf.errors.InvalidArgumentError` at a batch
        whose present values are out of range; `out_of_range` reads its message.

    Raises:
        UserError: A key, shape or type does not fit.
    """
    if dataset.cardinality() == 0:
        raise UserError("the data set is empty: it has no batch")
    check_element(dataset.element_spec, modalities)

    def check(batch):
        x, mask = unpack(batch, modalities)
        checks = []
        for modality in modalities:
            value, there = x[modality.name], mask[modality.name] > 0
            binary = tf.reduce_all((mask[modality.name] == 0) | (mask[modality.name] == 1))
            message = f"tf_mvae<mask[{modality.name!r}] must hold 0 and 1 only>"
            checks.append(tf.debugging.Assert(binary, [message]))
            low, high = _raw_bounds(modality, value.dtype)
            inner = [1] * (value.shape.rank - there.shape.rank)
            shaped = tf.reshape(there, [-1, *there.shape[1:], *inner])
            if value.dtype == tf.bool:
                continue
            good = tf.logical_and(
                value >= tf.cast(low, value.dtype), value <= tf.cast(high, value.dtype)
            )
            message = f"tf_mvae<{_range_message(modality)}>"
            checks.append(tf.debugging.Assert(tf.reduce_all(good | ~shaped), [message]))
        with tf.control_dependencies([c for c in checks if c is not None]):
            return tf.nest.map_structure(tf.identity, batch)

    return dataset.map(check)


def out_of_range(error: tf.errors.InvalidArgumentError) -> Exception:
    """Returns the `UserError` behind an error that `check_dataset` caused, or the error itself."""
    found = re.search(r"tf_mvae<(.*?)>", str(error))
    return UserError(found.group(1).replace("\\'", "'")) if found else error


def _split(batch: Any) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    if isinstance(batch, tuple | list) and len(batch) == 1:
        batch = batch[0]
    if not isinstance(batch, Mapping):
        raise UserError(
            'a batch is {"x": {name: array}, "mask": {name: array}}; this one is a '
            f"{type(batch).__name__}"
        )
    if not isinstance(batch.get("x"), Mapping):
        return batch, {}
    unknown = set(batch) - {"x", "mask"}
    if unknown:
        raise UserError(f"a batch has the keys 'x' and 'mask', and not {sorted(unknown)}")
    mask = {} if batch.get("mask") is None else batch["mask"]
    if not isinstance(mask, Mapping):
        raise UserError(
            f'a batch\'s "mask" is {{name: array}} like its "x"; it is a {type(mask).__name__}'
        )
    return batch["x"], mask


def _for_members(mask: tf.Tensor, modality: Modality) -> tf.Tensor:
    """Returns a mask as it is, and a group's `[batch]` one once for every member."""
    if not modality.mask_shape:
        return mask
    shape = tf.stack([tf.shape(mask)[0], *modality.mask_shape])
    mask = mask[:, tf.newaxis] if mask.shape.rank == 1 else mask
    return tf.ensure_shape(tf.broadcast_to(mask, shape), [None, *modality.mask_shape])


def _join_members(
    x: Mapping[str, Any], mask: Mapping[str, Any], modalities: Sequence[Modality]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Puts members of groups that stand under their own names into their group's array."""
    x, mask = dict(x), dict(mask)
    for group in modalities:
        given = [member for member in group.column_names if member in x] if group.mask_shape else []
        if not given:
            continue
        if group.name in x:
            raise UserError(f"x has the group {group.name!r} and its member {given[0]!r}; give one")
        values = {member: _to_tensor(x.pop(member), f"member {member!r}") for member in given}
        there = {
            member: tf.cast(
                _to_tensor(mask.pop(member, tf.ones(tf.shape(value)[:1])), member), tf.float32
            )
            for member, value in values.items()
        }
        first = values[given[0]]
        nothing, absent = tf.zeros_like(first), tf.zeros(tf.shape(first)[:1])
        try:
            x[group.name] = tf.stack([values.get(m, nothing) for m in group.column_names], axis=1)
            mask[group.name] = tf.stack([there.get(m, absent) for m in group.column_names], axis=1)
        except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
            raise UserError(
                f"members {given} of {group.name!r} differ in shape or type; give arrays alike"
            ) from error
    return x, mask


def _to_tensor(value: Any, what: str) -> tf.Tensor:
    try:
        return tf.convert_to_tensor(value)
    except (TypeError, ValueError) as error:
        raise UserError(f"{what} is no array of numbers: {str(error).splitlines()[0]}") from error


def _check_names(part: str, given: Mapping[str, Any], by_name: Mapping[str, Modality]) -> None:
    for name in given:
        if name not in by_name:
            raise UserError(f"{part} has the key {name!r}; the modalities are {list(by_name)}")


def _check_value(modality: Modality, shape: tf.TensorShape, dtype: tf.DType) -> None:
    likelihood = modality.likelihood
    if not shape.rank or not likelihood.fits(shape[1:]):
        expected = ", ".join(["batch", *map(str, likelihood.event_shape)])
        raise UserError(f"modality {modality.name!r} has shape [{expected}], not {shape}")
    if not likelihood.accepts(dtype):
        raise UserError(
            f"modality {modality.name!r} holds {likelihood.describe_range()}, "
            f"which cannot be read from {dtype.name}"
        )


def _check_mask(modality: Modality, shape: tf.TensorShape, dtype: tf.DType) -> None:
    name, inner = modality.name, modality.mask_shape
    if shape.rank != 1 and not (inner and shape.rank == 2 and shape[1] in (*inner, None)):
        expected = f"[batch, {inner[0]}] or [batch]" if inner else "[batch]"
        raise UserError(f"mask[{name!r}] must have shape {expected}, not {shape}")
    if not (dtype.is_floating or dtype.is_integer or dtype.is_bool):
        raise UserError(f"mask[{name!r}] must hold 0 and 1, not {dtype.name}")


def _raw_bounds(modality: Modality, dtype: tf.DType) -> tuple[float, float]:
    """Returns the bounds of raw values of a type: uint8 images run to 255."""
    likelihood = modality.likelihood
    if likelihood.dtype.is_floating and dtype == tf.uint8:
        return 0, 255
    if dtype.is_integer:
        return max(likelihood.low, dtype.min), min(likelihood.high, dtype.max)
    if dtype.is_floating:
        return max(likelihood.low, dtype.min), min(likelihood.high, dtype.max)
    return likelihood.low, likelihood.high


def _range_message(modality: Modality) -> str:
    return f"modality {modality.name!r} must hold {modality.likelihood.describe_range()}"


def _out_of_range(modality: Modality, value: np.ndarray, low: float, high: float) -> str:
    bad = value[~((value >= low) & (value <= high))]
    return f"{_range_message(modality)}; it holds {bad.flat[0]}"
