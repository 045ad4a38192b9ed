"""Objectives: their terms, and how these become a loss."""

import abc
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_mvae.modality import Modality
from tf_mvae.objectives.engine import Batch, LogLikelihood, Reconstruction, reconstruct
from tf_mvae.objectives.rows import RowPlan
from tf_mvae.objectives.terms import Block, Columns, Terms, Weights
from tf_mvae.ops.replicas import batch_mean, may_be_empty
from tf_mvae.posteriors import Encoded, Posterior, PosteriorKind

__all__ = ["Elbo", "Objective", "Step", "complete_examples"]


class Elbo(NamedTuple):
    """An objective's terms for every example, and the parts of these terms, in nats.

    Attributes:
        subset: Which columns a term's posterior sees, `[term, batch, column]`; of models with
            more than 64 columns the terms of several modalities only.
        present: 1 where an example has a column, `[batch, column]`.
        valid: The weight with which the term counts for the example, `[term, batch]`: 0 where
            it does not count, 1 where it does, but for models that weigh their terms; times the
            example's own weight, if the batch has weights.
        loc: Means of the posteriors, `[term, batch, latent]`.
        log_variance: Logarithms of their variances, the same shape.
        z: The samples that were decoded, `[sample, term, batch, latent]`.
        log_likelihood: By modality that the model generates, `E_q[log p(x_i | z)]` without a
            weight, summed over a group's members, `[term, batch]`; 0 where the modality
            is missing, or the term is not decoded to it, or (in training) does not count.
        members: By group, its members' in the first term, `[batch, member]`.
        kl: `KL(q(z | subset) || p(z))`, `[term, batch]`.
        elbo: Each term's bound: for an ELBO weighted log-likelihoods minus the weighted
            divergence, `[term, batch]`.
        own_loss: `loss` of a batch that is on one device. A field, so that a gradient tape that
            has recorded the rest has recorded it, too.
    """

    subset: tf.Tensor
    present: tf.Tensor
    valid: tf.Tensor
    loc: tf.Tensor
    log_variance: tf.Tensor
    z: tf.Tensor
    log_likelihood: dict[str, tf.Tensor]
    members: dict[str, tf.Tensor]
    kl: tf.Tensor
    elbo: tf.Tensor
    own_loss: tf.Tensor

    @property
    def loss(self) -> tf.Tensor:
        """Minus the weighted sum of each example's terms, averaged over the examples.

        With weights it is `-sum_i(weight_i * elbo_i) / batch`, as Keras weighs losses: the mean
        is over the number of examples, whatever their weights.
        """
        if may_be_empty():  # the number of examples is counted over replicas
            return -batch_mean(_sums(self.valid, self.elbo))
        return self.own_loss

    def weighted(self, weight: tf.Tensor) -> "Elbo":
        """Returns the result with weights of the examples, `[batch]`."""
        valid = self.valid * weight
        return self._replace(valid=valid, own_loss=-tf.reduce_mean(_sums(valid, self.elbo)))

    @classmethod
    def of(
        cls,
        terms: Terms,
        present: tf.Tensor,
        z: tf.Tensor,
        found: Reconstruction,
        kl: tf.Tensor,
        bound: tf.Tensor,
    ) -> "Elbo":
        """Returns the result of evaluated terms, averaged over samples."""
        means, members = (
            {name: tf.reduce_mean(value, axis=0) for name, value in part.items()}
            for part in (found.log_likelihood, found.members)
        )
        posterior = terms.posterior
        return cls(
            terms.subset(present),
            present,
            terms.weight,
            posterior.mean(),
            posterior.log_variance(),
            z,
            means,
            members,
            kl,
            bound,
            -tf.reduce_mean(_sums(terms.weight, bound)),
        )


def _sums(valid: tf.Tensor, elbo: tf.Tensor) -> tf.Tensor:
    """Returns the weighted sum of each example's terms, `[batch]`."""
    return tf.reduce_sum(valid * elbo, axis=0)


class Step(NamedTuple):
    """The settings of one evaluation of an objective.

    Attributes:
        num_samples: Samples of z a term.
        kl_weight: The weight of the divergence, the paper's beta.
        free_bits: See `Posterior.charged_kl`.
        terms_seed: Two integers, for random subsets.
        noise_seed: Two integers, for the samples.
        plan: The number of rows that decoders run for in training.
        log_likelihood: See `engine.reconstruct`.
        slices: See `engine.reconstruct`.
        appended: See `engine.reconstruct`.
    """

    num_samples: int
    kl_weight: tf.Tensor | float
    free_bits: float
    terms_seed: tf.Tensor
    noise_seed: tf.Tensor
    plan: RowPlan
    log_likelihood: LogLikelihood | None = None
    slices: Mapping[str, Sequence[slice]] | None = None
    appended: Mapping[str, tf.Tensor] | None = None

    @property
    def reconstruction(self) -> tuple[Any, ...]:
        """The arguments of `engine.reconstruct` that a step decides."""
        return self.plan, self.log_likelihood, self.slices, self.appended


class Objective(abc.ABC):
    """Defines the subsets that are terms, their weights, and how their likelihoods become a loss.

    Attributes:
        learns_from_incomplete: Whether an example with a modality missing teaches a model
            something.
        splits_seed: Whether subsets and noise take seeds of their own.
        takes_cross_weight: Whether a modality's `cross_weight` has a meaning.
        takes_free_bits: Whether it charges a divergence that is a sum over latent dimensions.
        alignment_weight: The weight of `Terms.alignment`.
    """

    learns_from_incomplete = True
    splits_seed = False
    takes_cross_weight = False
    takes_free_bits = True
    alignment_weight = 0.0

    def check(self, modalities: Sequence[Modality]) -> None:
        """Raises ValueError if the objective has no meaning for these modalities."""
        return

    @property
    def is_random(self) -> bool:
        """Whether subsets are drawn."""
        return False

    @abc.abstractmethod
    def blocks(
        self, columns: Columns, present: tf.Tensor, seed: tf.Tensor | None
    ) -> tuple[Block, ...]:
        """Returns the terms.

        Args:
            columns: The modalities' columns.
            present: 1 where an example has a column, `[batch, column]`.
            seed: Two integers, for random subsets.
        """

    @abc.abstractmethod
    def decoded(self, modalities: Sequence[Modality]) -> dict[str, tuple[str, ...]]:
        """Returns by modality the names of the blocks that are decoded to it."""

    def weights(self, modality: Modality) -> Weights:
        """Returns the weights of a modality's log-likelihoods; no cross weights by default."""
        own = tuple(np.atleast_1d(modality.likelihood_weight).tolist())
        return Weights(own, (0.0,) * len(own))

    @abc.abstractmethod
    def posterior(
        self,
        kind: PosteriorKind,
        encoded: Encoded,
        columns: Columns,
        blocks: Sequence[Block],
        present: tf.Tensor,
    ) -> Posterior:
        """Returns the posteriors of all terms, `[term, batch]`."""

    def alignment(
        self,
        kind: PosteriorKind,
        encoded: Encoded,
        blocks: Sequence[Block],
        posterior: Posterior,
        present: tf.Tensor,
    ) -> tf.Tensor | None:
        """Returns `Terms.alignment`."""
        return None

    def mixture(
        self, kind: PosteriorKind, encoded: Encoded, present: tf.Tensor
    ) -> Posterior | None:
        """Returns `Terms.mixture`."""
        return None

    def terms(
        self,
        modalities: Sequence[Modality],
        kind: PosteriorKind,
        encoded: Encoded,
        present: tf.Tensor,
        seed: tf.Tensor,
    ) -> Terms:
        """Returns the terms of a batch, with their posteriors."""
        columns = Columns(modalities)
        blocks = self.blocks(columns, present, seed)
        posterior = self.posterior(kind, encoded, columns, blocks, present)
        return Terms(
            columns,
            blocks,
            posterior,
            self.decoded(modalities),
            {modality.name: self.weights(modality) for modality in modalities},
            self.alignment(kind, encoded, blocks, posterior, present),
            self.mixture(kind, encoded, present),
        )

    def evaluate(
        self,
        targets: Sequence[Modality],
        batch: Batch,
        terms: Terms,
        present: tf.Tensor,
        step: Step,
    ) -> Elbo:
        """Samples, decodes and adds up.

        Args:
            targets: The modalities that the model generates.
            batch: Their data.
            terms: The result of `terms`.
            present: 1 where an example has a column, `[batch, column]`.
            step: Settings.
        """
        z = terms.posterior.sample(step.num_samples, step.noise_seed)
        found = reconstruct(targets, batch, terms, z, *step.reconstruction)
        kl, bound = self.bound(terms, z, found, step)
        return Elbo.of(terms, present, z, found, kl, bound)

    def bound(
        self, terms: Terms, z: tf.Tensor, found: Reconstruction, step: Step
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the divergences and the bounds of all terms, each `[term, batch]`.

            ELBO(S) = E_q(z|S)[ sum_i w_i log p(x_i | z) ] - kl_weight * KL(q(z|S) || p(z))

        (Wu and Goodman, NeurIPS 2018, equations 2 and 4), less the weighted alignment.
        """
        kl = terms.posterior.kl_to_prior(z)
        charged = terms.posterior.charged_kl(z, kl, step.free_bits)
        bound = tf.reduce_mean(found.weighted, axis=0) - step.kl_weight * charged
        if terms.alignment is not None:
            bound -= self.alignment_weight * terms.alignment
        return kl, bound

    def shares(
        self, modalities: Sequence[Modality], present: tf.Tensor, targets: tf.Tensor
    ) -> dict[str, float]:
        """Returns by modality the fraction of all terms of all examples that need it decoded.

        Args:
            modalities: Single modalities.
            present: 1 where an example of a batch has a modality, `[batch, modality]`.
            targets: 1 where it may have to be reconstructed.

        Returns:
            The fractions.
        """
        columns = Columns(modalities)
        blocks = self.blocks(columns, present, None)
        number = sum(block.weight.shape[0] for block in blocks)
        decoded = self.decoded(modalities)
        shares = {}
        for index, modality in enumerate(modalities):
            own, cross = (part[0] for part in self.weights(modality))
            total = 0.0
            for block in blocks:
                if block.name in decoded[modality.name]:
                    inside = columns.subset(block, present)[:, :, index]
                    weight = own * inside + cross * (1 - inside)
                    counts = weight * block.weight * targets[:, index] > 0
                    total += float(tf.reduce_sum(tf.cast(counts, tf.float32)))
            shares[modality.name] = total / (number * len(present))
        return shares

    def of_everything(self, elbo: Elbo) -> tuple[tf.Tensor, dict[str, tf.Tensor], tf.Tensor]:
        """Returns the parts of the bound on `log p(X)` that a model's metrics report.

        They are those of the first term, which sees everything.

        Args:
            elbo: The result of `evaluate`.

        Returns:
            1 where an example counts, whatever the term's weight, `[batch]`; the log-likelihoods by
            modality, `[batch]`; and the divergence, `[batch]`.
        """
        first = {name: value[0] for name, value in elbo.log_likelihood.items()}
        return tf.reduce_max(elbo.subset[0], axis=1), first, elbo.kl[0]

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor arguments of this objective."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Objective":
        """Creates an objective from the result of `get_config`."""
        return cls(**config)


def complete_examples(present: tf.Tensor) -> tf.Tensor:
    """Returns 1 where an example has everything, `[batch]`."""
    return tf.reduce_prod(present, axis=1)
