"""Evaluates the terms of an objective: samples, decodes, weighs, adds up."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import tensorflow as tf

from tf_mvae.layers.appended import append
from tf_mvae.modality import Modality
from tf_mvae.objectives.rows import RowPlan, log_likelihood_of
from tf_mvae.objectives.terms import RANDOM, Block, Columns, Terms

__all__ = ["Batch", "Reconstruction", "reconstruct"]


class LogLikelihood(Protocol):
    """How a modality is decoded, if not from z alone; see `rows.log_likelihood_of`."""

    def __call__(
        self, modality: Modality, value: tf.Tensor, z: tf.Tensor, counts: tf.Tensor, training: bool
    ) -> tf.Tensor:
        """Returns `log p(value | z)`, `[sample, term, batch]`."""


class Batch(NamedTuple):
    """The reconstructions of terms.

    Attributes:
        x: Raw data by name, `[batch, *event_shape]`.
        wanted: What the reconstruction of each column of each example counts, 0 where it is
            missing, `[batch, column]`.
        training: Whether this is a training step.
    """

    x: Mapping[str, tf.Tensor]
    wanted: tf.Tensor
    training: bool


class Reconstruction(NamedTuple):
    """Log-likelihoods of every term and sample, in nats.

    Attributes:
        weighted: The weighted sum over modalities, `[sample, term, batch]`.
        log_likelihood: By modality, without a weight, summed over a group's members,
            `[sample, term, batch]`; 0 where the modality is missing, or the term is not
            decoded to it, or (in training) need not be.
        members: By group, each member's in the first term, `[sample, batch, member]`.
    """

    weighted: tf.Tensor
    log_likelihood: dict[str, tf.Tensor]
    members: dict[str, tf.Tensor]


def reconstruct(
    modalities: Sequence[Modality],
    batch: Batch,
    terms: Terms,
    z: tf.Tensor,
    plan: RowPlan,
    log_likelihood: LogLikelihood | None = None,
    slices: Mapping[str, Sequence[slice]] | None = None,
    appended: Mapping[str, tf.Tensor] | None = None,
) -> Reconstruction:
    """Decodes each modality from the terms that reconstruct it, once.

    Args:
        modalities: The modalities to reconstruct.
        batch: Their data.
        terms: The terms.
        z: Samples of their posteriors, `[sample, term, batch, latent]`.
        plan: The number of rows that decoders run for in training.
        log_likelihood: See `LogLikelihood`; default: decoders see z alone.
        slices: By modality, the parts of z that its decoder sees; all of it by default.
        appended: By modality, further inputs of its decoder after z (covariates), `[batch, width]`.
    """
    columns = Columns(modalities)
    places = terms.places()
    sums: dict[str, list[tf.Tensor]] = {block.name: [] for block in terms.blocks}
    found, members = {}, {}
    for modality in modalities:
        blocks = [b for b in terms.blocks if b.name in terms.decoded[modality.name]]
        latents = z
        if slices is not None:
            latents = tf.concat([z[..., part] for part in slices[modality.name]], -1)
        if appended is not None and modality.name in appended:
            latents = append(latents, appended[modality.name], 2)
        rows = _Rows(modality, blocks, places, columns, batch, latents)
        counts, weight = rows.weights(terms)
        if modality.mask_shape:
            each = rows.decode_members(counts)
        else:
            each = rows.decode(counts, terms, plan, log_likelihood)
        each *= rows.present()
        found[modality.name] = _assemble(rows.by_block(each), terms.blocks, z)
        if modality.mask_shape and blocks and blocks[0] is terms.blocks[0]:
            # Of the first term, [member, sample, batch] as [sample, batch, member].
            members[modality.name] = tf.transpose(each[:, :, 0], [1, 2, 0])
        for name, value in rows.by_block(weight * each).items():
            sums[name].append(value)
    totals = {name: tf.add_n(values) for name, values in sums.items() if values}
    return Reconstruction(_assemble(totals, terms.blocks, z), found, members)


def _assemble(values: Mapping[str, tf.Tensor], blocks: Sequence[Block], z: tf.Tensor) -> tf.Tensor:
    """Puts blocks of `[sample, term, batch]` into their places, zeros where there is none."""
    parts = []
    for block in blocks:
        shape = tf.stack([tf.shape(z)[0], block.weight.shape[0], tf.shape(z)[2]])
        parts.append(values[block.name] if block.name in values else tf.zeros(shape))
    return parts[0] if len(parts) == 1 else tf.concat(parts, 1)


class _Rows:
    """The rows of latents that one modality is decoded from: members, samples, terms, examples.

    The terms are those of the blocks that reconstruct the modality; of a group's own block
    each member is decoded from its own term only. A single modality is a group of one.
    """

    def __init__(self, modality, blocks, places, columns, batch, z):
        self.modality, self.batch, self.z = modality, batch, z
        self.blocks, self.places, self.columns = blocks, places, columns
        self.own = columns.of[modality.name]
        self.size = modality.size

    def _height(self, block: Block) -> int:
        """Returns the number of rows of a block for each member."""
        own = block.name == self.modality.name
        return 1 if own else block.weight.shape[0]

    def weights(self, terms: Terms) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the weight of a row, and that of its log-likelihood.

        Returns:
            Both `[member, 1, row, batch]`; the first holds the term's weight too.
        """
        own, cross = terms.weights[self.modality.name]
        # [member, 1, 1]
        own, cross = (tf.constant(w)[:, tf.newaxis, tf.newaxis] for w in (own, cross))
        wanted = tf.transpose(self.batch.wanted[:, self.own])[:, tf.newaxis]  # [member, 1, batch]
        counts, weights = [], []
        for block in self.blocks:
            inside = self._inside(block, wanted)
            # Cross weights if the term's subset does not contain the column, [member, row, batch].
            weight = own * inside + cross * (1 - inside)
            weights.append(weight)
            counts.append(weight * self._spread(block.weight, block) * wanted)
        join = counts[0], weights[0]
        if len(self.blocks) > 1:
            join = tf.concat(counts, 1), tf.concat(weights, 1)
        return join[0][:, tf.newaxis], join[1][:, tf.newaxis]

    def _inside(self, block: Block, wanted: tf.Tensor) -> tf.Tensor:
        """Returns 1 where a term contains the modality's columns, `[member, row, batch]`."""
        if block.subset is not None:
            # [term, batch, member] as [member, term, batch].
            return tf.transpose(block.subset[:, :, self.own], [2, 0, 1])
        if block.name == self.modality.name:
            return tf.ones_like(wanted)
        return tf.zeros([self.size, self._height(block), tf.shape(wanted)[2]])

    def _spread(self, tensor: tf.Tensor, block: Block) -> tf.Tensor:
        """Gives a block's `[term, batch, ...]` a member axis: its own block's members are terms."""
        own = block.name == self.modality.name
        return tensor[:, tf.newaxis] if own else tensor[tf.newaxis]

    def latents(self) -> tf.Tensor:
        """Returns the latents, `[member, sample, row, batch, latent]`."""
        parts = []
        for block in self.blocks:
            z = self.z[:, self.places[block.name]]
            if block.name == self.modality.name:
                # The group's own block has a term per member, [member, sample, 1, batch, latent].
                parts.append(tf.transpose(z, [1, 0, 2, 3])[:, :, tf.newaxis])
            else:
                # All members are decoded from the same latents.
                parts.append(tf.broadcast_to(z, tf.concat([[self.size], tf.shape(z)], 0)))
        return tf.concat(parts, 2)

    def present(self) -> tf.Tensor:
        """Returns the weight of each example, `[member, 1, 1, batch]`."""
        return tf.transpose(self.batch.wanted[:, self.own])[:, tf.newaxis, tf.newaxis]

    def decode(self, counts, terms, plan, log_likelihood) -> tf.Tensor:
        """Returns a single modality's log-likelihoods, `[1, sample, row, batch]`."""
        modality, training = self.modality, self.batch.training
        z = self.z
        if len(self.blocks) < len(terms.blocks):
            z = tf.concat([z[:, self.places[b.name]] for b in self.blocks], 1)
        value = modality.prepare(self.batch.x[modality.name], self.batch.wanted[:, self.own.start])
        counts = counts[0, 0]
        if log_likelihood is not None or not training:
            found = (log_likelihood or log_likelihood_of)(modality, value, z, counts, training)
        else:
            number = sum(block.weight.shape[0] for block in terms.blocks)
            drawn = 0 if any(terms.weights[modality.name].cross) else _drawn(self.blocks)
            found = plan.log_likelihood(modality, value, z, counts, number, drawn)
        return found[tf.newaxis]

    def decode_members(self, counts: tf.Tensor) -> tf.Tensor:
        """Returns a group's log-likelihoods, `[member, sample, row, batch]`."""
        group, z = self.modality, self.latents()
        counts = tf.broadcast_to(tf.cast(counts > 0, z.dtype), tf.shape(z)[:-1])
        # Samples, rows and examples as one axis, [member, sample * row * batch].
        parameters = group.decode_each(
            tf.reshape(z, [self.size, -1, z.shape[-1]]),
            tf.reshape(counts, [self.size, -1]),
            self.batch.training,
        )
        member = group.likelihood.member
        shape = tf.concat([tf.shape(z)[:-1], member.parameter_shape], 0)
        value = group.prepare(self.batch.x[group.name], self.batch.wanted[:, self.own])
        # [batch, member, ...] as [member, batch, ...].
        value = tf.transpose(value, [1, 0, *range(2, value.shape.rank)])
        value = value[:, tf.newaxis, tf.newaxis]  # [member, 1, 1, batch, ...]
        return member.log_prob(tf.reshape(parameters, shape), value, self.batch.training)

    def by_block(self, each: tf.Tensor) -> dict[str, tf.Tensor]:
        """Takes `[member, sample, row, batch]` apart into blocks of `[sample, term, batch]`."""
        found, row = {}, 0
        for block in self.blocks:
            part = each[:, :, row : row + self._height(block)]
            row += self._height(block)
            if self.size == 1:
                found[block.name] = part[0]
            elif block.name == self.modality.name:
                # The members are the terms: [member, sample, batch] as [sample, term, batch].
                found[block.name] = tf.transpose(part[:, :, 0], [1, 0, 2])
            else:
                found[block.name] = tf.reduce_sum(part, axis=0)
        return found


def _drawn(blocks: Sequence[Block]) -> int:
    """Returns the number of a modality's terms that depend on the sampled subsets."""
    return sum(b.weight.shape[0] for b in blocks if b.name == RANDOM)
