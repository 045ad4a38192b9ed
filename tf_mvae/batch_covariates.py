"""The covariates of a batch, which every example has, without a mask."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mvae import batch_structure, batch_values
from tf_mvae.batch_structure import Parts, to_tensor
from tf_mvae.covariate import Covariate
from tf_mvae.errors import UserError
from tf_mvae.modality import Modality

__all__ = ["assertions", "checked_specs", "nothing", "taken_out"]

_Tensors = dict[str, tf.Tensor]


def taken_out(
    x: Mapping[str, Any], mask: Mapping[str, Any], covariates: Sequence[Covariate]
) -> tuple[Mapping[str, Any], Mapping[str, Any], _Tensors]:
    """Takes covariates out of a batch, and checks them.

    Args:
        x: Values by name.
        mask: Masks by name. One of a covariate may be there if it holds ones only.
        covariates: The model's.

    Returns:
        The rest of both, and the covariates' values by name.

    Raises:
        UserError: A covariate is missing, is missing for an example, or does not fit.
    """
    if not covariates:
        return x, mask, {}
    x, mask, found = dict(x), dict(mask), {}
    for covariate in covariates:
        name = covariate.name
        _check_there(name, x)
        value, there = x.pop(name), mask.pop(name, None)
        if np.ma.is_masked(value) or (there is not None and _holds_zero(there)):
            raise UserError(_missing(name))
        found[name] = value = to_tensor(value, f"covariate {name!r}")
        batch_structure.check_value(covariate, value.shape, value.dtype)
        batch_values.check_value(covariate, value, None)
    return x, mask, found


def nothing(modality: Modality, given: Mapping[str, tf.Tensor]) -> tuple[_Tensors, _Tensors]:
    """Returns x and mask of examples of which covariates alone are given.

    Args:
        modality: One of the model's.
        given: Covariates by name, `[batch, ...]`.
    """
    rows, likelihood = tf.shape(next(iter(given.values())))[:1], modality.likelihood
    blank = tf.zeros(tf.concat([rows, likelihood.event_shape], 0), likelihood.dtype)
    mask = tf.zeros(tf.concat([rows, modality.mask_shape], 0))
    return {modality.name: blank}, {modality.name: mask}


def checked_specs(
    x: Mapping[str, Any], mask: Mapping[str, Any], covariates: Sequence[Covariate]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Takes covariates out of a data set's specification, and checks their shapes and types.

    Raises:
        UserError: A covariate is missing, or does not fit.
    """
    own = {covariate.name for covariate in covariates}
    for covariate in covariates:
        _check_there(covariate.name, x)
        spec = x[covariate.name]
        batch_structure.check_value(covariate, spec.shape, spec.dtype)
    x, mask = ({n: v for n, v in part.items() if n not in own} for part in (x, mask))
    return x, mask


def assertions(
    parts: Parts,
    covariates: Sequence[Covariate],
    check: Callable[[tf.Tensor, str], tf.Operation | None],
) -> list[tf.Operation | None]:
    """Returns checks of covariates as operations of a graph.

    Args:
        parts: A batch, taken apart.
        covariates: The model's.
        check: Makes an assertion of a condition and a message.
    """
    checks = []
    for covariate in covariates:
        value = tf.convert_to_tensor(parts.x[covariate.name])
        there = parts.mask.get(covariate.name, tf.ones(tf.shape(value)[:1]))
        everywhere = tf.reduce_all(tf.cast(there, tf.float32) > 0)
        checks.append(check(everywhere, _missing(covariate.name)))
        ones = tf.ones(tf.shape(value)[:1])
        checks += batch_values.assertions(covariate, value, ones, check)[1:]
    return checks


def _check_there(name: str, x: Mapping[str, Any]) -> None:
    if name not in x:
        raise UserError(
            f"covariate {name!r} is not in the batch; its keys are {sorted(x)} (a covariate has to "
            "be given with every example)"
        )


def _holds_zero(there: Any) -> bool:
    """Returns whether a mask is known to have a missing value."""
    known = tf.get_static_value(to_tensor(there, "mask"))
    return known is not None and not np.all(known)


def _missing(name: str) -> str:
    return (
        f"covariate {name!r} is missing for an example; a covariate has to be given with every "
        "example: fill it in, leave these examples out, or make it a modality"
    )
