"""The batch contract: `{"x": {name: tensor}, "mask": {name: 0/1}, "weight": [batch]}`.

`mask`, or the mask of a modality, may be omitted: the data are then complete. Masked entries are
never read. A group of modalities is one array with a mask `[batch, member]`, or `[batch]` for all
of its members alike. A modality with an `element_mask` may have a mask of the shape of its data, 1
for each observed element; NaN in its data is a missing element as well. `weight` is optional: the
weight of each example in the loss and in the metrics. Covariates (`tf_mvae.Covariate`) are in `x`,
too. They have no mask, and must not be missing.

Functions take a model's inputs (`model.batch_inputs`): its modalities and its covariates.

`unpack` checks names, shapes and types always, and values where they are known: of arrays, of
eager tensors, of a graph's constants. What flows through a graph is checked before it gets
there, by `check_arrays` and `check_dataset`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mvae import batch_covariates, batch_structure, batch_values
from tf_mvae.batch_structure import split, to_tensor
from tf_mvae.covariate import Covariate, apart
from tf_mvae.distributions import elements
from tf_mvae.errors import UserError
from tf_mvae.modality import Modality

__all__ = [
    "check_arrays",
    "check_dataset",
    "check_element",
    "example_weight",
    "out_of_range",
    "present_mask",
    "unpack",
]


Inputs = Sequence[Modality | Covariate]


def unpack(
    batch: Any, inputs: Inputs, partial: bool = False
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Splits a batch into its parts and checks them; see the module for the checks.

    Args:
        batch: `{"x": {...}, "mask": {...}, "weight": ...}`, or `{name: tensor}` if
            everything is present. As Keras has it, a tuple `(batch,)` or
            `(batch, None, weight)` is a batch too.
        inputs: The modalities and covariates of the model.
        partial: Whether modalities may be omitted altogether, all of them if the model has
            covariates.

    Returns:
        `(x, mask)`, tensors by name. Covariates are in x and not in mask. Masks are float32
        `[batch]`, a group's `[batch, member]`, one for each modality in x. With `partial`, members
        of a group may be given under their own names, and are put together here. What is masked in
        a numpy masked array has a mask of 0. Of a modality with an `element_mask` x is prepared,
        float32 with NaN in the gaps, and its mask says which examples have an observed element.

    Raises:
        UserError: A key, shape, type, mask or known value does not fit the modalities.
    """
    modalities, covariates = apart(inputs)
    x, mask, weight = split(batch)
    x, mask, given = batch_covariates.taken_out(x, mask, covariates)
    by_name = {modality.name: modality for modality in modalities}
    if partial:
        x, mask = _join_members(x, mask, modalities)
        if given and not x:
            x, mask = batch_covariates.nothing(modalities[0], given)
    batch_structure.check_names("x", x, by_name)
    batch_structure.check_names("mask", mask, by_name)
    missing = [name for name in by_name if name not in x]
    if missing and (not partial or len(missing) == len(by_name)):
        raise UserError(
            f"modality {missing[0]!r} is not in the batch; its keys are {sorted(x)} (an example "
            f"that does not have it has any placeholder in x and a 0 in mask[{missing[0]!r}])"
        )
    x, mask = _masked_arrays_taken_apart(x, mask, by_name)
    x = {name: to_tensor(value, f"modality {name!r}") for name, value in x.items()}
    for name, value in x.items():
        batch_structure.check_value(by_name[name], value.shape, value.dtype)
    known = {name: _mask_tensor(mask[name], by_name[name]) for name in x if name in mask}
    weight = None if weight is None else _weight_tensor(weight)
    batch_structure.check_lengths({**x, **given}, known, weight)
    ones = tf.ones(tf.shape(next(iter(x.values())))[:1])
    masks = {name: _for_members(known.get(name, ones), by_name[name]) for name in x}
    for name, value in x.items():
        own_mask = masks[name] if name in known else None
        if own_mask is not None:
            batch_values.check_mask(name, own_mask)
        batch_values.check_value(by_name[name], value, own_mask)
    for modality in modalities:
        if modality.element_mask and modality.name in x:
            name = modality.name
            x[name], masks[name] = _gaps_marked(modality, x[name], masks[name])
    return {**x, **given}, masks


def _gaps_marked(
    modality: Modality, value: tf.Tensor, mask: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns prepared data with NaN in the gaps, and the mask of examples, `[batch]`.

    What has gone through here once comes out the same a second time.
    """
    inner = [1] * (value.shape.rank - mask.shape.rank)
    there = tf.reshape(mask > 0, tf.concat([tf.shape(mask), inner], 0)) if inner else mask > 0
    value = elements.mark_gaps(modality.likelihood, value, there)
    return value, tf.cast(elements.any_observed(value), tf.float32)


def example_weight(batch: Any) -> tf.Tensor | None:
    """Returns the weights of a batch's examples, float32 `[batch]`; None if it has none.

    Args:
        batch: A batch as in `unpack`.

    Raises:
        UserError: They are not one finite number of 0 or more for each example.
    """
    weight = split(batch).weight
    return None if weight is None else tf.cast(_weight_tensor(weight), tf.float32)


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


def check_arrays(data: Any, inputs: Inputs, partial: bool = False) -> dict[str, Any]:
    """Checks arrays, including their values.

    Args:
        data: A batch as in `unpack`, of numpy arrays or tensors.
        inputs: The modalities and covariates of the model.
        partial: Whether modalities may be omitted altogether.

    Returns:
        The batch with every mask, float32.

    Raises:
        UserError: Something does not fit.
    """
    x, mask = unpack(data, inputs, partial)
    if next(iter(x.values())).shape[0] == 0:
        raise UserError("the data set is empty: its arrays have no rows")
    found = {
        "x": {name: np.asarray(value) for name, value in x.items()},
        "mask": {name: np.asarray(value) for name, value in mask.items()},
    }
    weight = example_weight(data)
    return found if weight is None else {**found, "weight": np.asarray(weight)}


def check_element(spec: Any, inputs: Inputs, partial: bool = False) -> None:
    """Checks the element specification of a batched `tf.data.Dataset`.

    Args:
        spec: The specification.
        inputs: The modalities and covariates of the model.
        partial: Whether modalities may be omitted altogether.

    Raises:
        UserError: A key, shape or type does not fit.
    """
    modalities, covariates = apart(inputs)
    x, mask, weight = split(spec)
    x, mask = batch_covariates.checked_specs(x, mask, covariates)
    by_name = {modality.name: modality for modality in modalities}
    if partial and not set(x) <= set(by_name):
        return  # members by their own names are put together, and checked, in the graph
    batch_structure.check_names("x", x, by_name)
    batch_structure.check_names("mask", mask, by_name)
    for name, modality in by_name.items():
        if name in x:
            batch_structure.check_value(modality, x[name].shape, x[name].dtype)
        elif not partial or not (x or covariates):
            raise UserError(f"modality {name!r} is not in the data set; its keys are {sorted(x)}")
    for name, value in mask.items():
        batch_structure.check_mask(by_name[name], value.shape, value.dtype)
    if weight is not None:
        batch_structure.check_weight(weight.shape, weight.dtype)


def check_dataset(
    dataset: tf.data.Dataset, inputs: Inputs, partial: bool = False
) -> tf.data.Dataset:
    """Checks a batched data set: its specification now, its values as they come.

    Args:
        dataset: Batches as in `unpack`.
        inputs: The modalities and covariates of the model.
        partial: Whether modalities may be omitted altogether.

    Returns:
        The same data set, which stops with `tf.errors.InvalidArgumentError` at a batch
        whose present values are out of range; `out_of_range` reads its message.

    Raises:
        UserError: A key, shape or type does not fit.
    """
    if dataset.cardinality() == 0:
        raise UserError("the data set is empty: it has no batch")
    check_element(dataset.element_spec, inputs, partial)
    modalities, covariates = apart(inputs)

    @tf.autograph.experimental.do_not_convert  # there is nothing to convert, and it takes seconds
    def check(*parts):
        batch = parts[0] if len(parts) == 1 else parts
        x, mask = unpack(batch, inputs, partial)
        weight = example_weight(batch)
        checks = batch_covariates.assertions(split(batch), covariates, _assert)
        for modality in modalities:
            if modality.name in x:
                own = x[modality.name], mask[modality.name]
                checks += batch_values.assertions(modality, *own, _assert)
        if weight is not None:
            _assert_weight = tf.reduce_all((weight >= 0) & (weight <= weight.dtype.max))
            checks.append(_assert(_assert_weight, batch_values.WEIGHT_MESSAGE))
        if covariates and len(parts) == 1:
            batch = {"x": x, "mask": mask} | ({} if weight is None else {"weight": weight})
        if len(parts) > 1:  # Keras' form: its weights join the batch
            batch = {"x": x, "mask": mask} | ({} if weight is None else {"weight": weight})
        with tf.control_dependencies([c for c in checks if c is not None]):
            return tf.nest.map_structure(tf.identity, batch)

    return dataset.map(check)


def _assert(condition: tf.Tensor, message: str) -> tf.Operation | None:
    return tf.debugging.Assert(condition, [f"tf_mvae<{message}>"])


def out_of_range(error: tf.errors.InvalidArgumentError) -> Exception:
    """Returns the `UserError` behind an error of TensorFlow's data pipeline, or the error itself.

    `check_dataset` causes such errors, and so does a Python generator that raises a `UserError`.
    """
    found = re.search(r"tf_mvae<(.*?)>|\bUserError: (.*)", str(error))
    if not found:
        return error
    return UserError(found.group(2) or found.group(1).replace("\\'", "'"))


def _masked_arrays_taken_apart(
    x: Mapping[str, Any], mask: Mapping[str, Any], by_name: Mapping[str, Modality]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Converts the masks of numpy masked arrays to masks of the batch."""
    x, mask = dict(x), dict(mask)
    for name, value in x.items():
        if not isinstance(value, np.ma.MaskedArray):
            continue
        modality = by_name[name]
        batch_structure.check_value(
            modality, tf.TensorShape(value.shape), batch_structure.dtype_of(value)
        )
        there = batch_values.present_rows(modality, np.ma.getmaskarray(value))
        x[name] = value.data
        if name in mask:
            given = np.asarray(_mask_tensor(mask[name], modality))
            batch_structure.check_lengths({name: value}, {name: given}, None)
            there *= given.reshape(given.shape + (1,) * (there.ndim - given.ndim))
        mask[name] = there
    return x, mask


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
    """Joins members of groups that are given under their own names to their group's array."""
    x, mask = dict(x), dict(mask)
    for group in modalities:
        given = [member for member in group.column_names if member in x] if group.mask_shape else []
        if not given:
            continue
        if group.name in x:
            raise UserError(f"x has the group {group.name!r} and its member {given[0]!r}; give one")
        parts = {m: _member(m, x.pop(m), mask.pop(m, None)) for m in given}
        values, there = ({m: part[place] for m, part in parts.items()} for place in (0, 1))
        first = values[given[0]]
        nothing, absent = tf.zeros_like(first), tf.zeros(tf.shape(first)[:1])
        try:
            x[group.name] = tf.stack([values.get(m, nothing) for m in group.column_names], axis=1)
            known = tf.stack([there.get(m, absent) for m in group.column_names], axis=1)
        except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
            raise UserError(
                f"members {given} of {group.name!r} differ in shape or type; give arrays alike"
            ) from error
        if group.name in mask:
            known *= _for_members(_mask_tensor(mask[group.name], group), group)
        mask[group.name] = known
    return x, mask


def _member(name: str, value: Any, mask: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns a member's values, and 1 for each example that has it, float32 `[batch]`.

    Both its mask and that of a numpy masked array count.
    """
    hidden = np.ma.getmaskarray(value) if isinstance(value, np.ma.MaskedArray) else None
    value = to_tensor(np.ma.getdata(value) if hidden is not None else value, f"member {name!r}")
    there = tf.ones(tf.shape(value)[:1]) if mask is None else to_tensor(mask, name)
    there = tf.cast(there, tf.float32)
    if hidden is not None:
        rows = hidden.reshape(len(hidden), -1)
        if np.any(rows.any(1) != rows.all(1)):
            raise UserError(
                f"member {name!r}: an example is masked in part; mask all of its values, or none"
            )
        there *= 1.0 - rows.all(1)
    return value, there


def _mask_tensor(given: Any, modality: Modality) -> tf.Tensor:
    """Returns a mask as it was given, float32."""
    what = f"mask[{modality.name!r}]"
    _refuse_masked(given, what)
    given = to_tensor(given, what)
    batch_structure.check_mask(modality, given.shape, given.dtype)
    return tf.cast(given, tf.float32)


def _weight_tensor(weight: Any) -> tf.Tensor:
    _refuse_masked(weight, "weight")
    weight = to_tensor(weight, "weight")
    batch_structure.check_weight(weight.shape, weight.dtype)
    batch_values.check_weight(weight)
    return weight


def _refuse_masked(given: Any, what: str) -> None:
    if np.ma.is_masked(given):
        raise UserError(f"{what} is a numpy masked array with masked entries; fill them")
