"""A value inside a likelihood's support, which replaces missing data.

`log p` of a value outside the support is minus infinity, and minus infinity times a mask of 0 is
NaN. So masked entries hold a value that has a finite density with finite gradients.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from tf_mvae.distributions.likelihood import Likelihood
from tf_mvae.errors import UserError

__all__ = ["choose_placeholder", "fill_missing", "set_placeholder"]


def fill_missing(likelihood: Likelihood, value: tf.Tensor, there: tf.Tensor) -> tf.Tensor:
    """Returns prepared data with the likelihood's placeholder where they are missing.

    Args:
        likelihood: Of the modality.
        value: Raw data, `[batch, *event_shape]`; anything may stand where they are missing.
        there: Where they are not, bool, broadcasts to `value`.
    """
    value = tf.convert_to_tensor(value)
    # Zeros first: raw data may have another unit than prepared ones.
    prepared = likelihood.prepare(tf.where(there, value, tf.zeros([], value.dtype)))
    placeholder = likelihood.placeholder
    if placeholder is None or not np.any(placeholder):
        return prepared
    return tf.where(there, prepared, tf.cast(placeholder, prepared.dtype))


def set_placeholder(
    owner: str, likelihood: Likelihood, parameters: tf.Tensor, is_loaded: bool
) -> None:
    """Sets a likelihood's placeholder, if 0 is not known to do.

    Args:
        owner: Which modality it is of, for a warning.
        likelihood: Of the modality; a group's is of its members.
        parameters: Decoder outputs, `[1, *parameter_shape]`.
        is_loaded: Whether the model was saved. One of an earlier version may hold complete
            examples only: then a likelihood without a placeholder is warned of.

    Raises:
        UserError: See `choose_placeholder`; of a model that was not saved.
    """
    member = getattr(likelihood, "member", None)
    if member is not None:
        likelihood, parameters = member, parameters[:, 0]
    if likelihood.placeholder is not None and not np.any(likelihood.placeholder):
        return
    try:
        likelihood.placeholder = choose_placeholder(likelihood, parameters)
    except UserError as error:
        if not is_loaded:
            raise
        logging.warning("%s: %s", owner, error)


def choose_placeholder(likelihood: Likelihood, parameters: tf.Tensor) -> np.ndarray:
    """Returns the placeholder of a likelihood, a float32 array that broadcasts to its events.

    It is the likelihood's own if it names one. Otherwise it is the first of these inside the
    support: 0, what the bijector of the distribution's support makes of 0 (such as 1 for positive
    numbers, the middle of an interval), the distribution's mean, and a sample.

    Args:
        likelihood: The likelihood.
        parameters: Decoder outputs, `[1, *parameter_shape]`.

    Raises:
        UserError: The likelihood's own placeholder is outside the support, or none is found.
    """
    # A density that is finite at one parameter only (Gamma's at 0) is not enough.
    around = tf.concat([parameters, parameters + 1.0, parameters - 1.0], 0)
    kind = type(likelihood).__name__
    if likelihood.placeholder is not None:
        own = np.asarray(likelihood.placeholder, np.float32)
        if not _is_inside(likelihood, parameters, own):
            raise UserError(
                f"{kind}: placeholder {likelihood.placeholder!r} has no finite log-probability; "
                "give a value inside the distribution's support"
            )
        return own
    for settings in (around, parameters):
        for make in _candidates(likelihood, parameters):
            value = _attempt(make)
            if value is not None and _is_inside(likelihood, settings, value):
                return value
    raise UserError(
        f"{kind}: no value inside the distribution's support was found to stand where an example "
        f"has none; name one, as in CallableLikelihood(..., placeholder=1.0)"
    )


def _candidates(likelihood: Likelihood, parameters: tf.Tensor) -> Iterator[Callable[[], Any]]:
    def of_support():
        bijector = likelihood.distribution(parameters).experimental_default_event_space_bijector()
        shape = bijector.inverse_event_shape(likelihood.event_shape)
        return bijector.forward(tf.zeros([1, *shape]))[0]

    yield lambda: np.float32(0)
    yield of_support
    yield lambda: likelihood.distribution(parameters).mean()[0]
    yield lambda: likelihood.distribution(parameters).sample(seed=tf.constant([0, 0]))[0]


def _is_inside(likelihood: Likelihood, parameters: tf.Tensor, value: np.ndarray) -> bool:
    """Whether a value has a finite log-probability whose gradients are finite, too."""

    def evaluate():
        event = tf.broadcast_to(tf.constant(value, likelihood.dtype), likelihood.event_shape)
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            log_prob = likelihood.log_prob(parameters, event)
        gradient = tape.gradient(log_prob, parameters)
        parts = [log_prob] if gradient is None else [log_prob, gradient]
        return np.asarray(all(np.isfinite(part).all() for part in parts))

    found = _attempt(evaluate)
    return found is not None and bool(found)


def _attempt(make: Callable[[], Any]) -> np.ndarray | None:
    """Returns what `make` makes as float32, None where a distribution does not offer it."""
    try:
        value = make()
        return None if value is None else np.asarray(value, np.float32)
    except Exception:  # whatever a user's function and the distribution's own checks raise
        return None
