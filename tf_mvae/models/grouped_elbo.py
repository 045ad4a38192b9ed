"""The ELBOs of many subsets where modalities come in groups, at a cost linear in their number.

N members have N terms alone, and N terms of N modalities each would be N^2 of everything:
subsets, posteriors, decodings. So what a term of several modalities sees (`[term, batch,
modality]`) and what is alone (one expert a term) are kept apart here.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

from tf_mvae.distributions import gaussian_kl_to_prior
from tf_mvae.group import ModalityGroup
from tf_mvae.layers import ProductOfExperts
from tf_mvae.modality import Modality
from tf_mvae.models.elbo import Elbo, charged_kl, drawn_log_likelihoods, posterior_samples
from tf_mvae.models.subsets import SubsetTerms

__all__ = ["GroupedTerms", "elbo_of_groups", "grouped_posteriors"]


class GroupedTerms(NamedTuple):
    """The terms of a step: everything, each modality alone, random subsets; in this order.

    Attributes:
        several: What the terms of several modalities see, everything first,
            `[several, batch, modality]`.
        valid: The weight with which a term counts for the example, `[term, batch]`.
        loc: Means of the posteriors, `[term, batch, latent]`.
        log_variance: Logarithms of their variances, the same shape.
    """

    several: tf.Tensor
    valid: tf.Tensor
    loc: tf.Tensor
    log_variance: tf.Tensor


class _Parts(NamedTuple):
    """A tensor over terms, taken apart: of several modalities, and of one alone."""

    several: tf.Tensor
    alone: tf.Tensor

    @classmethod
    def of(cls, tensor: tf.Tensor, number: int, axis: int = 0) -> "_Parts":
        first, alone, rest = tf.split(
            tensor, [1, number, tensor.shape[axis] - 1 - number], axis=axis
        )
        return cls(tf.concat([first, rest], axis), alone)

    def whole(self) -> tf.Tensor:
        """Returns the tensor over terms again."""
        return tf.concat([self.several[:1], self.alone, self.several[1:]], 0)


def grouped_posteriors(
    product: ProductOfExperts,
    loc: tf.Tensor,
    log_variance: tf.Tensor,
    present: tf.Tensor,
    several: SubsetTerms,
) -> GroupedTerms:
    """Returns every term with its posterior.

    Args:
        product: Multiplies experts.
        loc: Means of the experts, `[batch, modality, latent]`.
        log_variance: Logarithms of their variances, the same shape.
        present: 1 where an example has a modality, `[batch, modality]`.
        several: The terms of several modalities, everything first.
    """
    number, latent = loc.shape[1:]
    one_each = [tf.reshape(part, [-1, 1, latent]) for part in (loc, log_variance)]
    alone = [
        tf.transpose(tf.reshape(part, [-1, number, latent]), [1, 0, 2])
        for part in product(*one_each, tf.reshape(present, [-1, 1]))
    ]
    together = product(loc, log_variance, several.subset)
    others = tf.cast(tf.reduce_sum(present, axis=1) > 1, tf.float32)
    return GroupedTerms(
        several.subset,
        _Parts(several.valid, tf.transpose(present) * others).whole(),
        *(_Parts(*pair).whole() for pair in zip(together, alone, strict=True)),
    )


def elbo_of_groups(
    modalities: Sequence[Modality],
    x: Mapping[str, tf.Tensor],
    present: tf.Tensor,
    terms: GroupedTerms,
    num_samples: int,
    kl_weight: tf.Tensor | float,
    seed: tf.Tensor,
    training: bool = False,
    free_bits: float = 0.0,
) -> Elbo:
    """Evaluates the ELBO of every term, as `elbo_of_posteriors` does.

    `ModalityGroup` says which terms reconstruct what. In the result `subset` holds the terms
    of several modalities only, `[1 + k, batch, modality]`, and `log_likelihood` these and,
    last, the modality's own term alone: `[1 + k + 1, batch]`, a group's
    `[1 + k + 1, batch, member]`.

    Args:
        modalities: The modalities.
        x: Raw data by name, `[batch, *event_shape]`.
        present: 1 where an example has a modality to be reconstructed, `[batch, modality]`.
        terms: The subsets and their posteriors.
        num_samples: Samples of z a term.
        kl_weight: The paper's beta.
        seed: Two integers.
        training: Whether this is a training step.
        free_bits: See `tf_mvae.models.elbo.charged_kl`.
    """
    loc, log_variance = terms.loc, terms.log_variance
    z = posterior_samples(loc, log_variance, num_samples, seed)
    kl = gaussian_kl_to_prior(loc, log_variance)

    step = _Step(modalities, present, terms, z)
    log_likelihood = {}
    for modality in modalities:
        evaluate = _group if isinstance(modality, ModalityGroup) else _single
        log_likelihood[modality.name] = evaluate(step, modality, x[modality.name], training)
    elbo = _Parts(step.several, tf.concat(list(step.alone.values()), 0)).whole()
    elbo -= kl_weight * charged_kl(loc, log_variance, kl, free_bits)
    return Elbo(terms.several, terms.valid, loc, log_variance, z, log_likelihood, kl, elbo)


class _Step:
    """What is known of a step's terms, and the weighted log-likelihoods as they add up."""

    def __init__(self, modalities, present, terms, z):
        number = present.shape[1]
        self.present = present
        self.subset = terms.several
        self.valid = _Parts.of(terms.valid, number)
        self.z = _Parts.of(z, number, axis=1)
        self.num_several = self.subset.shape[0]
        self.columns, start = {}, 0
        for modality in modalities:
            self.columns[modality.name] = slice(start, start + modality.size)
            start += modality.size
        self.singles = [m.name for m in modalities if not isinstance(m, ModalityGroup)]
        self.several = tf.zeros(tf.shape(self.valid.several))
        self.alone = {
            name: tf.zeros(tf.shape(self.valid.alone[columns]))
            for name, columns in self.columns.items()
        }

    def add(self, several, alone_of: dict[str, tf.Tensor]) -> None:
        """Adds a modality's weighted log-likelihoods to the terms'."""
        self.several += several
        for name, value in alone_of.items():
            self.alone[name] += value


def _single(step: _Step, modality: Modality, raw: tf.Tensor, training: bool) -> tf.Tensor:
    """Reconstructs a single modality; returns its log-likelihoods, several and own."""
    own = step.columns[modality.name]
    present = step.present[:, own.start]
    # Its own term comes last.
    others = [n for n in step.singles if n != modality.name] if modality.cross_weight else []
    alone = [step.columns[name] for name in (*others, modality.name)]
    z = tf.concat([step.z.several, *(step.z.alone[:, c] for c in alone)], 1)
    valid = tf.concat([step.valid.several, *(step.valid.alone[c] for c in alone)], 0)
    outside = tf.zeros([len(others), tf.shape(present)[0]])
    inside = tf.concat([step.subset[:, :, own.start], outside, present[tf.newaxis]], 0)
    weight = modality.likelihood_weight * inside + modality.cross_weight * (1 - inside)
    value = modality.prepare(raw, present)
    counts = weight * valid * present
    drawn = 0 if modality.cross_weight else step.num_several - 1
    found = drawn_log_likelihoods(modality, value, z, counts, training, drawn) * present
    weighted = weight * found
    several = step.num_several
    names = (*others, modality.name)
    step.add(
        weighted[:several],
        {name: weighted[several + row : several + row + 1] for row, name in enumerate(names)},
    )
    return tf.concat([found[:several], found[-1:]], 0)


def _group(step: _Step, group: ModalityGroup, raw: tf.Tensor, training: bool) -> tf.Tensor:
    """Reconstructs a group; returns its members' log-likelihoods, several and own."""
    own = step.columns[group.name]
    present = step.present[:, own]
    others = step.singles if any(group.cross_weight) else []
    alone = [step.columns[name] for name in others]
    z, counts, weight = _member_latents(step, group, alone)
    shape = tf.shape(z)
    parameters = group.decode_each(
        tf.reshape(z, [group.size, -1, z.shape[-1]]), tf.reshape(counts, [group.size, -1]), training
    )
    member = group.likelihood.member
    parameters = tf.reshape(parameters, tf.concat([shape[:-1], member.parameter_shape], 0))
    value = group.prepare(raw, present)
    value = tf.transpose(value, [1, 0, *range(2, value.shape.rank)])[:, tf.newaxis, tf.newaxis]
    log_prob = tf.reduce_mean(member.log_prob(parameters, value), axis=1)
    found = log_prob * tf.transpose(present)[:, tf.newaxis]  # [member, row, batch]
    weighted = weight * found
    total = tf.reduce_sum(weighted[:, :-1], axis=0)
    several = step.num_several
    step.add(
        total[:several],
        {
            **{n: total[several + i : several + i + 1] for i, n in enumerate(others)},
            group.name: weighted[:, -1],
        },
    )
    kept = tf.concat([found[:, :several], found[:, -1:]], 1)
    return tf.transpose(kept, [1, 2, 0])


def _member_latents(
    step: _Step, group: ModalityGroup, alone: list[slice]
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns what each member is decoded from, with counts and weights.

    The rows are the terms of several modalities, single modalities alone, and the member
    alone.

    Returns:
        z, `[member, sample, row, batch, latent]`; 1 where a row counts, the same shape without
        the last axis; and the weights `[member, row, batch]`.
    """
    own, size = step.columns[group.name], group.size
    shared = tf.concat([step.z.several, *(step.z.alone[:, c] for c in alone)], 1)
    mine = tf.transpose(step.z.alone[:, own], [1, 0, 2, 3])[:, :, tf.newaxis]
    spread = tf.broadcast_to(shared, tf.concat([[size], tf.shape(shared)], 0))
    z = tf.concat([spread, mine], axis=2)
    present = tf.transpose(step.present[:, own])  # [member, batch]
    outside = tf.zeros(tf.stack([size, len(alone), tf.shape(present)[1]]))
    subset = tf.transpose(step.subset[:, :, own], [2, 0, 1])
    inside = tf.concat([subset, outside, present[:, tf.newaxis]], 1)
    likelihood_weight, cross_weight = (
        tf.constant(w)[:, tf.newaxis, tf.newaxis]
        for w in (group.likelihood_weight, group.cross_weight)
    )
    weight = likelihood_weight * inside + cross_weight * (1 - inside)
    valid = tf.concat([step.valid.several, *(step.valid.alone[c] for c in alone)], 0)
    valid = tf.broadcast_to(valid, tf.concat([[size], tf.shape(valid)], 0))
    valid = tf.concat([valid, step.valid.alone[own][:, tf.newaxis]], 1)
    counts = tf.cast(weight * valid * present[:, tf.newaxis] > 0, z.dtype)
    return z, tf.broadcast_to(counts[:, tf.newaxis], tf.shape(z)[:-1]), weight
