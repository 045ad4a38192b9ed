"""Single missing elements of a modality: marked in its data, excluded from the likelihood.

Inside a model a missing element of numbers is NaN in the prepared data, and a missing symbol of a
sequence is `tf_mvae.ops.tokens.GAP`, so the mask of a modality is still one number per example.
The NaN is never used in a computation: networks get 0 and the mask, and a likelihood gets its
placeholder, whose log-probability is then replaced by 0.

    log p(x_observed | z) = sum over observed elements e of log p(x_e | z)

Of sequences see `tf_mvae.distributions.sequences`.
"""

import numpy as np
import tensorflow as tf

from tf_mvae.distributions.likelihood import Likelihood
from tf_mvae.errors import UserError
from tf_mvae.ops import random
from tf_mvae.ops.tokens import END, GAP, blank_rest

__all__ = [
    "any_observed",
    "check_elements",
    "hide",
    "hide_randomly",
    "mark_gaps",
    "masked_input",
    "masked_log_prob",
    "observed",
]


def check_elements(what: str, likelihood: Likelihood) -> None:
    """Checks that elements of a likelihood's events can be missing one by one.

    Raises:
        UserError: An event is one number, an integer class, or pairs.
    """
    numbers = likelihood.event_shape and likelihood.dtype.is_floating
    if not (likelihood.is_sequence or (numbers and likelihood.has_single_elements)):
        raise UserError(
            f"{what}: element_mask is for several real numbers an example, or a sequence of "
            f"symbols; a {type(likelihood).__name__} of shape {list(likelihood.event_shape)} is "
            "observed or missing as a whole"
        )


def mark_gaps(likelihood: Likelihood, value: tf.Tensor, there: tf.Tensor) -> tf.Tensor:
    """Returns prepared data with marked gaps, `[batch, *event_shape]`.

    Args:
        likelihood: Of the modality.
        value: Raw data; NaN is a gap, too, and `GAP` in a sequence.
        there: Where an element is observed, bool, broadcasts to `value`.
    """
    value = tf.convert_to_tensor(value)
    there = tf.broadcast_to(there, tf.shape(value))
    if likelihood.is_sequence:
        return blank_rest(tf.where(there, tf.cast(value, likelihood.dtype), GAP), gaps=True)
    if value.dtype.is_floating:
        there &= ~tf.math.is_nan(value)
    # `prepare` may not accept NaN: replace it by 0 first, and mark the gaps again afterwards.
    prepared = likelihood.prepare(tf.where(there, value, tf.zeros([], value.dtype)))
    return tf.where(there, prepared, tf.constant(np.nan, prepared.dtype))


def observed(prepared: tf.Tensor) -> tf.Tensor:
    """Returns where elements are observed, bool, given data that `mark_gaps` returned.

    Padding of a sequence is not observed: it is not a symbol.
    """
    if prepared.dtype.is_integer:
        return prepared >= END
    return ~tf.math.is_nan(prepared)


def any_observed(prepared: tf.Tensor) -> tf.Tensor:
    """Returns which examples have an observed element, bool `[batch]`; see `observed`."""
    return tf.reduce_any(observed(prepared), list(range(1, prepared.shape.rank)))


def hide(prepared: tf.Tensor, rate: float, uniform: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """Turns random observed elements into gaps.

    Args:
        prepared: `[batch, *event_shape]`.
        rate: The largest fraction of an example's elements to hide.
        uniform: Random numbers in [0, 1), of the shape of `prepared`.
        share: Random numbers in [0, 1), one per example, `[batch, 1, ...]`: an example loses
            the fraction `rate * share` on average.
    """
    gap = GAP if prepared.dtype.is_integer else np.nan
    hidden = (uniform < rate * share) & observed(prepared)
    return tf.where(hidden, tf.constant(gap, prepared.dtype), prepared)


def hide_randomly(prepared: tf.Tensor, rate: float, seed: tf.Tensor) -> tf.Tensor:
    """Turns random elements into gaps, as `hide` does, with numbers drawn from a seed.

    Args:
        prepared: `[batch, *event_shape]`.
        rate: The largest fraction of an example's elements to hide.
        seed: Two integers.
    """
    seeds = tf.unstack(random.split(seed, 2), num=2)
    shape = tf.shape(prepared)
    ones = tf.ones([prepared.shape.rank - 1], tf.int32)
    share = random.stateless_uniform(tf.concat([shape[:1], ones], 0), seeds[0])
    return hide(prepared, rate, random.stateless_uniform(shape, seeds[1]), share)


def masked_input(likelihood: Likelihood, prepared: tf.Tensor) -> tf.Tensor:
    """Returns an encoder's input: zeros for missing elements, and the mask along the last axis.

    Args:
        likelihood: Of the modality.
        prepared: The result of `mark_gaps`.

    Returns:
        `[batch, ..., features + elements]`; twice the last size of the event for most
        likelihoods: `[batch, 28, 28, 2]` for images of one channel. Of a sequence the ids, with
        `GAP` where a symbol is missing.
    """
    if likelihood.is_sequence:
        return prepared
    there = observed(prepared)
    safe = tf.where(there, prepared, _placeholder(likelihood, prepared))
    return likelihood.network_input(safe, there)


def masked_log_prob(
    likelihood: Likelihood, parameters: tf.Tensor, value: tf.Tensor, training: bool = False
) -> tf.Tensor:
    """Returns the log-likelihood of the observed elements, in nats, `[...]`.

    Args:
        likelihood: Of the modality.
        parameters: Decoder outputs, `[..., *parameter_shape]`.
        value: The result of `mark_gaps`; broadcasts against them, `[..., *event_shape]`.
        training: Whether this is a training step; of a sequence's network.
    """
    if likelihood.is_sequence:
        return likelihood.distribution(parameters).log_prob(value, training=training, gaps=True)
    there = observed(value)
    # Double `where`: the placeholder keeps values and gradients of missing elements finite, and the
    # second `where` removes their terms. each: [..., *event_shape].
    safe = tf.where(there, value, _placeholder(likelihood, value))
    each = likelihood.element_log_prob(parameters, safe)
    axes = list(range(-len(likelihood.event_shape), 0))
    return tf.reduce_sum(tf.where(there, each, tf.zeros([], each.dtype)), axes)


def _placeholder(likelihood: Likelihood, like: tf.Tensor) -> tf.Tensor:
    value = 0.0 if likelihood.placeholder is None else likelihood.placeholder
    return tf.cast(value, like.dtype)
