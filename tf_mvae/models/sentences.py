"""Saying sentences: greedily, by sampling, by beam search."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mvae.distributions.sequence_mixture import mixture_of_contexts
from tf_mvae.models.base import BaseVAE
from tf_mvae.ops import random

__all__ = ["DECODINGS", "said", "say", "text_modalities"]

DECODINGS = ("greedy", "sample", "beam")

Said = dict[str, list[tuple[str, float | None]]]


def text_modalities(model: BaseVAE) -> dict[str, Any]:
    """Returns the likelihoods of the sequences that a model generates, by name."""
    targets = {m.name: m.likelihood for m in model.targets}
    return {n: target for n, target in targets.items() if target.is_sequence}


def say(
    model: BaseVAE,
    z: tf.Tensor,
    name: str,
    decoding: str = "greedy",
    beam_width: int = 5,
    given: Mapping[str, Any] | None = None,
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Generates the most probable sentences given several samples of the latent together.

        p(x | given) ~ (1 / K) sum_k p(x | z_k),   z_k ~ q(z | given)

    The mean of `q` alone is a bad place to decode: in dimensions that say nothing a decoder
    is trained on noise of variance 1, of which the mean has none.

    Args:
        model: The model.
        z: Latents, `[K, rows, latent]`.
        name: The modality.
        decoding: `'greedy'` or `'beam'`.
        beam_width: The number of sentences that a beam search keeps.
        given: For models whose decoders see data next to the latent, these.

    Returns:
        Ids `[rows, 1 or beam_width, length]`, the most probable first, and of a beam search
        their log-probabilities, `[rows, beam_width]`.
    """
    parameters = model.likelihood_parameters(z, [name], given)[name]
    likelihood = text_modalities(model)[name]
    distribution = mixture_of_contexts(likelihood, parameters)
    if decoding == "beam":
        return distribution.beam_search(beam_width)
    return distribution.mode()[:, tf.newaxis], None


def said(
    model: BaseVAE,
    given: Mapping[str, Any],
    num_samples: int = 16,
    decoding: str = "greedy",
    beam_width: int = 5,
    seed: int = 0,
    temperature: float = 1.0,
) -> Said:
    """Says what a model makes of one example's parts in each language that was not given.

    Args:
        model: A trained model.
        given: Parts by name, `[1, ...]`; empty for the prior.
        num_samples: Samples of the latent. Of given parts greedy and beam search say what is
            most probable under all of them together; a sentence is sampled for each. Of the
            prior a sentence is said for each.
        decoding: `'greedy'`, `'sample'` or `'beam'`.
        beam_width: See `say`.
        seed: Of the samples.
        temperature: Factor on the latent's standard deviation, and on the noise of sampled
            symbols.

    Returns:
        By modality sentences, and of a beam search their log-probabilities.
    """
    seeds = random.split(tf.constant([seed, 0]), 2)
    if given:
        z = model.latent_samples(given, num_samples, None, seeds[0], temperature)
    else:
        noise = random.stateless_normal([num_samples, model.latent_dim], seeds[0])
        z = temperature * noise[tf.newaxis]
    found = {}
    for name, likelihood in text_modalities(model).items():
        if name in given:
            continue
        scores = None
        if decoding == "sample":
            parameters = model.likelihood_parameters(z, [name], given)[name]
            distribution = likelihood.distribution(parameters)
            ids = distribution.sample(seed=seeds[1], temperature=temperature)
        else:
            ids, scores = say(model, z, name, decoding, beam_width, given)
        texts = likelihood.text(tf.reshape(ids, [-1, likelihood.length]))
        numbers = [None] * len(texts) if scores is None else np.ravel(scores).tolist()
        found[name] = list(zip(texts, numbers, strict=True))
    return found
