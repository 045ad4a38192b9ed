"""The samples that imputation is made of; each function runs eagerly and in a graph."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tf_mvae.distributions.sequence_mixture import mixture_of_contexts
from tf_mvae.inference.candidates import chosen_latents
from tf_mvae.modality import Modality
from tf_mvae.ops import random

if TYPE_CHECKING:
    from tf_mvae.inference.generative import GenerativeModel

__all__ = [
    "BLOCK_ROWS",
    "block_seed",
    "complete_sequence",
    "draw_latents",
    "draw_parts",
    "latent_seeds",
]

BLOCK_ROWS = 200  # examples at a time
_SAMPLE, _RESAMPLE, _DRAW = 1, 2, 3  # streams of random numbers


def block_seed(seed: tf.Tensor, first_row: int) -> tf.Tensor:
    """Returns the seed of a block of `BLOCK_ROWS` examples, given the row of the first."""
    return random.fold_in(seed, first_row)


def latent_seeds(seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the seeds of a block's latents, and of their choice by importance weights."""
    return random.fold_in(seed, _SAMPLE), random.fold_in(seed, _RESAMPLE)


def draw_latents(
    model: "GenerativeModel",
    x: Mapping[str, tf.Tensor],
    mask: Mapping[str, tf.Tensor],
    number: int | tf.Tensor,
    seed: tf.Tensor,
    importance: bool = False,
    latents: str | None = None,
) -> tf.Tensor:
    """Returns samples of z given what is observed, `[sample, batch, latent]`.

    Args:
        model: The model.
        x: Data as `tf_mvae.batch.unpack` returns them.
        mask: Masks, likewise.
        number: Samples of z per example.
        seed: Of a block (`block_seed`).
        importance: Whether samples of z are weighed.
        latents: See `GenerativeModel.generate`.
    """
    seeds = latent_seeds(seed)
    if not importance:
        return model._conditional(x, mask, latents).sample(number, seeds[0])
    z, weight = model._weighed(x, mask, number, seeds[0], latents)
    uniform = random.stateless_uniform(tf.shape(weight)[1:], seeds[1])
    places = (tf.range(number, dtype=tf.float32)[:, tf.newaxis] + uniform) / number
    return chosen_latents(z, weight, places)


def draw_parts(
    model: "GenerativeModel",
    modality: Modality,
    z: tf.Tensor,
    x: Mapping[str, tf.Tensor],
    seed: tf.Tensor,
) -> list[tuple[tf.Tensor, tf.Tensor]]:
    """Returns the expected value and samples of each part of a modality's likelihood.

    Args:
        model: The model.
        modality: One that it generates.
        z: Samples, `[sample, batch, latent]`.
        x: The model's conditions.
        seed: Of a block (`block_seed`).

    Returns:
        For each of `Likelihood.independent_parts` the mean over latents, `[batch, ...]` (of a
        class the probabilities of all), and a value for each latent, `[sample, batch, ...]`; of
        classes and binary values the mean stands for these.
    """
    parameters = model.likelihood_parameters(z, [modality.name], x)[modality.name]
    seed = random.fold_in(seed, _DRAW + model.targets.index(modality))
    found = []
    for place, (part, own) in enumerate(modality.likelihood.independent_parts(parameters)):
        each = part.expected_value(own)
        expected = tf.reduce_mean(each, axis=0)
        if part.is_categorical or part.is_binary:
            found.append((expected, expected[tf.newaxis]))
            continue
        # Some of TensorFlow's samplers never return for a parameter that is NaN or infinite.
        safe = tf.where(tf.math.is_finite(own), own, tf.zeros([], own.dtype))
        sample = part.distribution(safe).sample(seed=random.fold_in(seed, place))
        sample = tf.where(tf.math.is_nan(each), np.nan, tf.cast(sample, tf.float32))
        if sample.shape.rank is None:  # a distribution of the user's has lost it in a graph
            shape = [None, None, *modality.mask_shape, *part.event_shape]
            sample = tf.ensure_shape(sample, shape)
        found.append((expected, sample))
    return found


def complete_sequence(
    model: "GenerativeModel",
    modality: Modality,
    z: tf.Tensor,
    x: Mapping[str, tf.Tensor],
    tokens: tf.Tensor,
) -> tf.Tensor:
    """Returns sequences with their gaps filled under all latents together, `[batch, length]`.

        p(x | given) ~ (1 / K) sum_k p(x | z_k)

    Args:
        model: The model.
        modality: The modality of sequences.
        z: Samples, `[sample, batch, latent]`; their number has to be known.
        x: The model's conditions.
        tokens: Ids with gaps, `[batch, length]`.
    """
    parameters = model.likelihood_parameters(z, [modality.name], x)[modality.name]
    likelihood: Any = modality.likelihood
    return mixture_of_contexts(likelihood, parameters).completion(tokens)
