"""Checks of the arguments of models and their methods, apart from data.

A tensor that a graph has yet to compute passes every check of its value.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.errors import UserError
from tf_mvae.modality import Modality

__all__ = [
    "check_modalities",
    "guidance",
    "kl_weight",
    "latents",
    "sample_count",
    "seed_pair",
    "temperature",
]


def check_modalities(modalities: Any) -> None:
    """Checks that modalities are a list of one or more, whose names differ.

    Raises:
        UserError: They are not.
    """
    if isinstance(modalities, Modality) or not isinstance(modalities, Sequence):
        raise UserError(
            f"modalities must be a list of tf_mvae.Modality; it is a {type(modalities).__name__}"
        )
    wrong = [one for one in modalities if not isinstance(one, Modality)]
    if wrong:
        raise UserError(f"modalities must be tf_mvae.Modality objects; one is {wrong[0]!r}")
    names = [modality.name for modality in modalities]
    if not names:
        raise UserError("modalities must have at least one tf_mvae.Modality; the list is empty")
    if len(set(names)) < len(names):
        raise UserError(f"modalities must have names that differ; they are {names}")


def sample_count(value: Any, name: str = "num_samples") -> int | tf.Tensor:
    """Returns a number of samples, 1 or more."""
    return _scalar(name, value, checks.positive_integer, tf.int32)


def temperature(value: Any) -> float | tf.Tensor:
    """Returns a factor on a standard deviation, 0 or more."""
    return _scalar("temperature", value, checks.non_negative, tf.float32)


def guidance(value: Any) -> int:
    """Returns a number of candidates, 1 or more; it shapes the graph, and is no tensor."""
    return checks.positive_integer("guidance", value)


def kl_weight(value: Any) -> float | tf.Tensor:
    """Returns a weight of the KL divergence, 0 or more."""
    return _scalar("kl_weight", value, checks.non_negative, tf.float32)


def seed_pair(seed: Any) -> tf.Tensor:
    """Returns a seed of two integers, int32 `[2]`.

    Args:
        seed: An integer, or two.

    Raises:
        UserError: It is something else.
    """
    try:
        pair = tf.convert_to_tensor(seed)
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(_seed_message(seed)) from error
    if not pair.dtype.is_integer or not any(
        pair.shape.is_compatible_with(shape) for shape in ([], [2])
    ):
        raise UserError(_seed_message(seed))
    known = tf.get_static_value(pair)
    if known is not None and np.any(known != known.astype(np.int32)):
        raise UserError(_seed_message(seed))
    return tf.stack([tf.cast(pair, tf.int32), 0]) if pair.shape.rank == 0 else pair


def latents(z: Any, latent_dim: int) -> tf.Tensor:
    """Returns latents, float32 `[..., latent_dim]`.

    Raises:
        UserError: They have another shape, or a value is NaN or infinite.
    """
    try:
        z = tf.cast(z, tf.float32)
    except (TypeError, ValueError, tf.errors.OpError) as error:
        raise UserError(f"z must be an array of numbers, [..., {latent_dim}]") from error
    if not z.shape.rank or z.shape[-1] not in (latent_dim, None):
        raise UserError(f"z must have shape [..., {latent_dim}], not {z.shape}")
    known = tf.get_static_value(z)
    if known is not None and not np.isfinite(known).all():
        raise UserError("z must hold finite numbers")
    return z


def _scalar(name: str, value: Any, check: Callable[[str, Any], Any], dtype: tf.DType) -> Any:
    """Checks a number; a tensor stays one."""
    if not tf.is_tensor(value):
        return check(name, value)
    known = tf.get_static_value(value)
    if known is not None:
        check(name, known.item() if np.ndim(known) == 0 else known)
    return tf.cast(value, dtype)


def _seed_message(seed: Any) -> str:
    return f"seed must be an integer of 32 bits, or two; it is {seed!r}"
