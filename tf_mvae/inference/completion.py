"""Missing modalities of a batch, replaced by their expected values under a sampler."""

from collections.abc import Mapping

import tensorflow as tf

from tf_mvae.distributions import elements
from tf_mvae.inference.latents import LatentModel
from tf_mvae.ops import random

__all__ = ["with_missing_values"]

_SAMPLES = 16


def with_missing_values(
    model: LatentModel,
    values: Mapping[str, tf.Tensor],
    x: Mapping[str, tf.Tensor],
    mask: Mapping[str, tf.Tensor],
) -> dict[str, tf.Tensor]:
    """Returns values with those of missing modalities replaced.

    What is missing is its expected value over 16 samples of a sampler's `p(z | S)`, drawn with the
    model's seed and the same random numbers for each example, so that an example's values do not
    depend on the batch that it is in. If nothing is missing, nothing is drawn.

    Args:
        model: A model with a sampler.
        values: Expected values by name, `[batch, *event_shape]` (classes with a last axis of
            probabilities).
        x: Data by name, `[batch, *event_shape]`; names may be absent.
        mask: Masks by name, `[batch]`.
    """
    # Symbols of a sequence depend on each other: a sequence with gaps is reconstructed as a whole.
    missing = {
        m.name: ~elements.observed(x[m.name])
        if m.element_mask and not m.likelihood.is_sequence
        else mask[m.name] <= 0
        for m in model.targets
        if m.name in x
    }

    def complete():
        found = _expected(model, x, mask)
        for name, there in missing.items():
            axes = [1] * (values[name].shape.rank - there.shape.rank)
            choose = tf.reshape(there, tf.concat([tf.shape(there), axes], 0))
            found[name] = tf.where(choose, found[name], values[name])
        return found

    if len(missing) < len(model.targets):
        return complete()
    some = tf.reduce_any([tf.reduce_any(there) for there in missing.values()])
    return tf.cond(some, complete, lambda: dict(values))


def _expected(
    model: LatentModel, x: Mapping[str, tf.Tensor], mask: Mapping[str, tf.Tensor]
) -> dict[str, tf.Tensor]:
    """Returns every modality's expected value given what each example has."""

    def decode_mean(z, given):
        parameters = model.likelihood_parameters(z, None, given)
        wanted = model._given(parameters)
        return {m.name: m.likelihood.expected_over_samples(parameters[m.name]) for m in wanted}

    with random.common_numbers():
        z = model.sampler.of(model._context(x, mask)).sample(_SAMPLES, model._seed(None))
    z = tf.ensure_shape(z, [None, None, model.latent_dim])
    given = {name: x[name] for name in model.given_to_decoders}
    return dict(model._eager_calls("complete", decode_mean, z, given, free_axes=2))
