"""Importance-sampled log-likelihoods as a graph, in bounded memory."""

from collections.abc import Mapping

import tensorflow as tf

from tf_mvae.ops.importance import (
    LogWeightSums,
    chunk_seed,
    chunk_sizes,
    stream_chunks,
)
from tf_mvae.posteriors import draw_proposals
from tf_mvae.serving.parts import Parts

__all__ = ["MAX_ROWS", "log_likelihood"]

MAX_ROWS = 4096  # rows (samples x examples) that are decoded at a time


def log_likelihood(
    parts: Parts,
    x: Mapping[str, tf.Tensor],
    mask: Mapping[str, tf.Tensor],
    num_samples: tf.Tensor,
    seed: tf.Tensor,
) -> dict[str, tf.Tensor]:
    """Estimates `log p` of the observed values of each example, in nats.

        p(x) ~ (1 / K) sum_k p(x | z_k) p(z_k) / q(z_k | x),   z_k ~ q(z | x)

    (Burda, Grosse and Salakhutdinov, ICLR 2016, equation 8). For a model with conditions it
    is `log p(target | conditions)`. Chunks, noise and arithmetic are those of
    `tf_mvae.evaluation.ImportanceSampler`, so both return the same estimate for the same seed.

    With a sampler that has a fast density, half of the samples are from the posterior and half from
    the sampler, and the denominator is the mean of the two densities.

    Args:
        parts: The model's networks.
        x: All modalities by name, `[batch, *event_shape]`; the batch size is free.
        mask: Masks of the modalities by name, `[batch]`.
        num_samples: K, an int32 scalar of at least 1.
        seed: Two integers.

    Returns:
        `log_likelihood`, its `standard_error` over the samples, and the
        `effective_sample_size`, `(sum w)^2 / sum w^2`, each `[batch]`. The log-likelihood is
        0 if no modality that the model generates is observed; with such a sampler it is an estimate
        of 0 then.

    Raises:
        tf.errors.InvalidArgumentError: `num_samples` is below 1.
    """
    positive = tf.debugging.assert_positive(num_samples, "num_samples must be at least 1")
    with tf.control_dependencies([positive]):
        num_samples = tf.identity(num_samples)
    posteriors = [parts.infer(x, mask)]
    if parts.model.proposing_sampler is not None:
        posteriors.append(parts.conditional(x, mask))
    each = len(posteriors)
    steps = -(-num_samples // each)  # samples per proposal, rounded up
    prepared = parts.model._prepared(x, mask)
    size = tf.shape(posteriors[0].mean())[0]
    rows = max(modality.likelihood.rows_per_example for modality in parts.model.targets)
    chunk, number = chunk_sizes(steps, size * rows * each, MAX_ROWS)

    def add_chunk(index, sums):
        z, log_weight = draw_proposals(posteriors, chunk_seed(seed, index), chunk)
        # z: [chunk, batch, latent]; log p(z) / q(z | x) and log p(x | z): [chunk, batch].
        log_weight += tf.ensure_shape(parts.log_prob(z, prepared, mask), [None, None])
        # The last chunk may be longer than the samples that remain: ignore the rest.
        counts = tf.cast(each * tf.minimum(chunk, steps - index * chunk), tf.float32)
        return sums.add(log_weight, counts)

    sums = stream_chunks(add_chunk, LogWeightSums.nothing(size), number)
    return {
        "log_likelihood": sums.mean_log(),
        "standard_error": sums.standard_error(),
        "effective_sample_size": sums.effective_sample_size(),
    }
