"""The ELBOs of many subsets, from experts that were computed once."""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

from tf_mvae.distributions import gaussian_kl_to_prior
from tf_mvae.modality import Modality
from tf_mvae.ops import random

__all__ = [
    "Elbo",
    "PosteriorTerms",
    "charged_kl",
    "decoded_terms",
    "drawn_log_likelihoods",
    "elbo_of_posteriors",
    "log_likelihood_of",
    "posterior_samples",
]


class Elbo(NamedTuple):
    """The ELBO of every term of every example, and what it is made of, in nats.

    Attributes:
        subset: Which modalities a term's posterior sees, `[term, batch, modality]`.
        valid: The weight with which the term counts for the example, `[term, batch]`: 0
            where it does not, 1 where it does, but for models that weigh their terms.
        loc: Means of the posteriors, `[term, batch, latent]`.
        log_variance: Logarithms of their variances, the same shape.
        z: The samples that were decoded, `[sample, term, batch, latent]`.
        log_likelihood: By modality that the model generates, `E_q[log p(x_i | z)]` without
            a weight, `[term, batch]`; 0 where the example lacks the modality or the term
            is never decoded to it, or, of random terms in training, does not count.
        kl: `KL(q(z | subset) || p(z))`, `[term, batch]`.
        elbo: Weighted log-likelihoods less the weighted divergence, `[term, batch]`.
        weight: The weights of the examples, `[batch]`; None if the batch has none.
    """

    subset: tf.Tensor
    valid: tf.Tensor
    loc: tf.Tensor
    log_variance: tf.Tensor
    z: tf.Tensor
    log_likelihood: dict[str, tf.Tensor]
    kl: tf.Tensor
    elbo: tf.Tensor
    weight: tf.Tensor | None = None

    @property
    def loss(self) -> tf.Tensor:
        """Minus the sum of each example's own terms, averaged over the examples.

        With weights it is `-sum_i(weight_i * elbo_i) / batch`, as Keras weighs losses: the mean
        is over the number of examples, whatever their weights.
        """
        each = tf.reduce_sum(self.valid * self.elbo, axis=0)
        return -tf.reduce_mean(each if self.weight is None else self.weight * each)


class PosteriorTerms(NamedTuple):
    """The terms of a step, with their posteriors, however these were made.

    Attributes:
        subset: Which modalities a term's posterior sees, `[term, batch, modality]`.
        valid: The weight with which the term counts for the example, `[term, batch]`.
        loc: Means of the posteriors, `[term, batch, latent]`.
        log_variance: Logarithms of their variances, the same shape.
        decoded: By modality, the terms that are decoded to it.
        cross_weight: By modality, its weight in terms that do not contain it.
        num_random: How many of the terms, the last ones, hold what a step's draw says.
    """

    subset: tf.Tensor
    valid: tf.Tensor
    loc: tf.Tensor
    log_variance: tf.Tensor
    decoded: Mapping[str, list[int]]
    cross_weight: Mapping[str, float]
    num_random: int = 0


def decoded_terms(modality: Modality, index: int, num_modalities: int, num_terms: int) -> list[int]:
    """Returns the terms in which a modality may be reconstructed.

    Without a cross weight these are: everything, itself alone, and the random ones.

    Args:
        modality: The modality.
        index: Its place among the modalities.
        num_modalities: How many there are.
        num_terms: How many terms there are.
    """
    if modality.cross_weight:
        return list(range(num_terms))
    return [0, 1 + index, *range(1 + num_modalities, num_terms)]


def elbo_of_posteriors(
    modalities: Sequence[Modality],
    x: Mapping[str, tf.Tensor],
    present: tf.Tensor,
    terms: PosteriorTerms,
    num_samples: int,
    kl_weight: tf.Tensor | float,
    seed: tf.Tensor,
    training: bool = False,
    decoded_share: Mapping[str, float] | None = None,
    free_bits: float = 0.0,
) -> Elbo:
    """Evaluates the ELBO of every term.

        ELBO(S) = E_q(z|S)[ sum_i w_i log p(x_i | z) ] - kl_weight * KL(q(z|S) || p(z))

    over the modalities that the example has, where `w_i` is `likelihood_weight` if `S`
    contains modality i and the term's `cross_weight` if not (Wu and Goodman, NeurIPS 2018,
    equations 2 and 4, have the first kind only).

    Args:
        modalities: The modalities.
        x: Raw data by name, `[batch, *event_shape]`.
        present: 1 where an example has a modality to be reconstructed, `[batch, modality]`.
        terms: The subsets and their posteriors.
        num_samples: Samples of z a term.
        kl_weight: The paper's beta.
        seed: Two integers.
        training: Whether this is a training step.
        decoded_share: By modality, the largest share of all terms of all examples that
            need it decoded; 1 where left out. No more than that is decoded; a batch that
            needs more gets NaN.
        free_bits: See `charged_kl`.
    """
    loc, log_variance = terms.loc, terms.log_variance
    z = posterior_samples(loc, log_variance, num_samples, seed)
    kl = gaussian_kl_to_prior(loc, log_variance)

    elbo = -kl_weight * charged_kl(loc, log_variance, kl, free_bits)
    log_likelihood = {}
    for index, modality in enumerate(modalities):
        which = terms.decoded[modality.name]
        inside = terms.subset[:, :, index]
        cross_weight = terms.cross_weight[modality.name]
        weight = modality.likelihood_weight * inside + cross_weight * (1 - inside)
        counts = _pick(weight * terms.valid, which, axis=0) * present[:, index]
        value = modality.prepare(x[modality.name], present[:, index])
        share = (decoded_share or {}).get(modality.name, 1.0)
        rows = math.ceil(share * terms.subset.shape[0] * (present.shape[0] or 0) - 1e-6)
        picked = _pick(z, which, axis=1)
        if rows and rows < len(which) * present.shape[0]:
            decoded = _few_log_likelihoods(modality, value, picked, counts, training, rows)
        else:
            drawn = 0 if cross_weight else terms.num_random
            decoded = drawn_log_likelihoods(modality, value, picked, counts, training, drawn)
        full = _put(decoded * present[:, index], which, terms.subset.shape[0])
        log_likelihood[modality.name] = full
        elbo += weight * full
    return Elbo(terms.subset, terms.valid, loc, log_variance, z, log_likelihood, kl, elbo)


def posterior_samples(
    loc: tf.Tensor, log_variance: tf.Tensor, num_samples: int, seed: tf.Tensor
) -> tf.Tensor:
    """Returns reparameterised samples, `[sample, ...]`; a replica's are its rows of the batch's.

    Args:
        loc: Means, `[..., batch, latent]`.
        log_variance: Logarithms of variances, the same shape.
        num_samples: Samples of each.
        seed: Two integers, the same on every replica.
    """
    noise = random.batch_normal(tf.concat([[num_samples], tf.shape(loc)], 0), seed)
    return loc + tf.exp(log_variance / 2) * noise


def charged_kl(
    loc: tf.Tensor, log_variance: tf.Tensor, kl: tf.Tensor, free_bits: float
) -> tf.Tensor:
    """Returns the divergence that an objective with free bits charges, in nats, `[...]`.

        sum_j max(free_bits, KL_j)

    over the latent's dimensions, of each example by itself: the `free_bits` first nats of a
    dimension cost the same, used or not, so that a decoder that could do without the latent
    (a recurrent one) has no reason to leave it empty. (Kingma et al., *Improved variational
    inference with inverse autoregressive flow*, NeurIPS 2016, appendix C.8, bounds averages of
    a batch instead; by example it is the same on one replica as on many.)

    Args:
        loc: Means, `[..., latent]`.
        log_variance: Logarithms of variances, the same shape.
        kl: Their divergences from the prior, `[...]`; the answer where there are no free bits.
        free_bits: The number, in nats for each dimension.
    """
    if not free_bits:
        return kl
    each = gaussian_kl_to_prior(loc[..., tf.newaxis], log_variance[..., tf.newaxis])
    return tf.reduce_sum(tf.maximum(each, free_bits), axis=-1)


def log_likelihood_of(
    modality: Modality, value: tf.Tensor, z: tf.Tensor, counts: tf.Tensor, training: bool
) -> tf.Tensor:
    """Returns log p(value | z), averaged over samples, `[term, batch]`."""
    lead = tf.shape(z)[:3]
    rows = tf.reshape(z, [-1, z.shape[-1]])
    mask = tf.reshape(tf.broadcast_to(tf.cast(counts > 0, z.dtype), lead), [-1])
    parameters = modality.decode(rows, mask, training)
    shape = tf.concat([lead, modality.likelihood.parameter_shape], 0)
    log_prob = modality.likelihood.log_prob(tf.reshape(parameters, shape), value, training)
    return tf.reduce_mean(log_prob, axis=0)


def drawn_log_likelihoods(
    modality: Modality,
    value: tf.Tensor,
    z: tf.Tensor,
    counts: tf.Tensor,
    training: bool,
    num_random: int,
) -> tf.Tensor:
    """Returns `log_likelihood_of`; in training, few terms are decoded where a draw needs few.

    A modality is in some of the random subsets, and one draw serves the whole batch. So there
    are two or three programs, for as many rows as some, more or all of the random terms have,
    and the smallest that holds the rows that count is run.

    Args:
        modality: The modality.
        value: Its prepared data, `[batch, *event_shape]`.
        z: Samples, `[sample, term, batch, latent]`.
        counts: More than 0 where the likelihood counts, `[term, batch]`.
        training: Whether this is a training step.
        num_random: How many of the terms need not count, as a draw has it.
    """
    terms, batch = counts.shape
    if not training or not num_random or not batch:
        return log_likelihood_of(modality, value, z, counts, training)
    needed = tf.reduce_sum(tf.cast(counts > 0, tf.int32))
    levels = sorted({num_random // 2, (3 * num_random + 3) // 4, num_random})
    rows = [(terms - num_random + level) * batch for level in levels]
    # All rows come in the same way, since TensorFlow wants branches of like intermediates.
    programs = [
        functools.partial(_few_log_likelihoods, modality, value, z, counts, training, number)
        for number in rows
    ]
    level = tf.reduce_sum(tf.cast(needed > tf.constant(rows[:-1]), tf.int32))
    return tf.switch_case(level, programs)


def _few_log_likelihoods(
    modality: Modality,
    value: tf.Tensor,
    z: tf.Tensor,
    counts: tf.Tensor,
    training: bool,
    rows: int,
) -> tf.Tensor:
    """Returns `log_likelihood_of`, 0 where it does not count, decoding `rows` rows a sample only.

    Rows that count are brought together, so that shapes stay static.
    """
    needed = tf.reshape(tf.cast(counts > 0, z.dtype), [-1])
    value = tf.stop_gradient(value)  # branches would hand on gradients of data that none wants
    chosen = tf.argsort(needed, direction="DESCENDING", stable=True)[:rows]
    there = tf.gather(needed, chosen)
    latent = tf.gather(tf.reshape(z, [z.shape[0], -1, z.shape[-1]]), chosen, axis=1)
    found = log_likelihood_of(
        modality,
        tf.gather(value, chosen % value.shape[0]),
        latent[:, tf.newaxis],
        there[tf.newaxis],
        training,
    )
    places = tf.one_hot(chosen, needed.shape[0], dtype=z.dtype)
    full = tf.linalg.matvec(places, found[0] * there, transpose_a=True)
    full = tf.where(tf.reduce_sum(needed) > rows, math.nan, full)
    return tf.reshape(full, tf.shape(counts))


def _pick(tensor: tf.Tensor, which: list[int], axis: int) -> tf.Tensor:
    """Takes some terms, with slices, whose gradient is cheaper than a gather's."""
    if which == list(range(tensor.shape[axis])):
        return tensor
    before = (slice(None),) * axis
    return tf.concat([tensor[(*before, slice(i, i + 1))] for i in which], axis)


def _put(tensor: tf.Tensor, which: list[int], num_terms: int) -> tf.Tensor:
    """Puts terms that `_pick` took back in their places, zeros elsewhere."""
    if len(which) == num_terms:
        return tensor
    nothing = tf.zeros_like(tensor[0])
    place = {term: row for row, term in enumerate(which)}
    return tf.stack([tensor[place[t]] if t in place else nothing for t in range(num_terms)])
