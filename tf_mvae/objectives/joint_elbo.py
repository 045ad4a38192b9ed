"""Objectives with one term of all that an example has."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.modality import Modality
from tf_mvae.objectives.engine import Reconstruction
from tf_mvae.objectives.objective import Objective, Step, complete_examples
from tf_mvae.objectives.terms import EVERYTHING, Block, Columns, Terms
from tf_mvae.posteriors import Encoded, Posterior, PosteriorKind
from tf_mvae.settings import Setting

__all__ = ["CORRELATION_ALPHA", "AnyElbo", "JointElbo", "TotalCorrelation"]

CORRELATION_ALPHA = Setting(
    "correlation_alpha",
    0.9,
    "Weight of the divergences from unimodal posteriors, 0 to 1.",
    checks.fraction,
    argument="alpha",
)


class _OneTerm(Objective):
    """One term of all that an example has."""

    def decoded(self, modalities: Sequence[Modality]) -> dict[str, tuple[str, ...]]:
        """See `Objective.decoded`."""
        return {modality.name: (EVERYTHING,) for modality in modalities}

    def posterior(
        self,
        kind: PosteriorKind,
        encoded: Encoded,
        columns: Columns,
        blocks: Sequence[Block],
        present: tf.Tensor,
    ) -> Posterior:
        """See `Objective.posterior`."""
        return kind.everything(encoded, present)


@keras.saving.register_keras_serializable("tf_mvae")
class JointElbo(_OneTerm):
    """The ELBO of complete examples, less divergences from each modality's posterior.

        ELBO(X) - alignment_weight sum_i KL(q(z | X) || q(z | x_i))

    An example with a missing modality has weight 0.
    """

    learns_from_incomplete = False

    def __init__(self, alignment_weight: float = 0.0):
        """Creates the objective.

        Args:
            alignment_weight: The weight of the divergences; 0 is the ELBO alone.
        """
        self.alignment_weight = checks.non_negative("alignment_weight", alignment_weight)

    def blocks(
        self, columns: Columns, present: tf.Tensor, seed: tf.Tensor | None
    ) -> tuple[Block, ...]:
        """See `Objective.blocks`."""
        complete = complete_examples(present)
        subset = present * complete[:, tf.newaxis]
        return (Block(EVERYTHING, complete[tf.newaxis], subset[tf.newaxis]),)

    def alignment(
        self,
        kind: PosteriorKind,
        encoded: Encoded,
        blocks: Sequence[Block],
        posterior: Posterior,
        present: tf.Tensor,
    ) -> tf.Tensor | None:
        """See `Objective.alignment`."""
        if not self.alignment_weight:
            return None
        # [batch, 1, latent], which broadcasts against the experts, [batch, column, latent].
        joint = type(posterior)(*(part[0][:, tf.newaxis] for part in posterior))
        return tf.reduce_sum(joint.kl_to(encoded.experts), axis=1)[tf.newaxis]

    def get_config(self) -> dict[str, Any]:
        """See `Objective.get_config`."""
        return {"alignment_weight": self.alignment_weight}


class AnyElbo(_OneTerm):
    """The ELBO of all observed modalities of an example."""

    def blocks(
        self, columns: Columns, present: tf.Tensor, seed: tf.Tensor | None
    ) -> tuple[Block, ...]:
        """See `Objective.blocks`."""
        some = tf.cast(tf.reduce_max(present, axis=1) > 0, tf.float32)
        return (Block(EVERYTHING, some[tf.newaxis], present[tf.newaxis]),)


@keras.saving.register_keras_serializable("tf_mvae")
class TotalCorrelation(AnyElbo):
    """A bound on total correlation and conditional information of N modalities.

        (N - alpha)/N sum_i E_q(z|X)[ log p(x_i | z) ]
            - beta [ (1 - alpha) KL(q(z | X) || p(z)) + alpha/N sum_i KL(q(z | X) || q(z | x_i)) ]

    over the modalities that an example has (Hwang, Kim, Hong and Kim, *Multi-view
    representation learning via total correlation objective*, NeurIPS 2021, equation 11).
    beta is the model's KL weight.
    """

    def __init__(self, alpha: float = 0.9):
        """Creates the objective.

        Args:
            alpha: The fraction of the divergence that is from each modality's posterior, in
                [0, 1].

        Raises:
            ValueError: alpha is not in [0, 1].
        """
        self.alpha = checks.fraction("alpha", alpha)

    def alignment(
        self,
        kind: PosteriorKind,
        encoded: Encoded,
        blocks: Sequence[Block],
        posterior: Posterior,
        present: tf.Tensor,
    ) -> tf.Tensor:
        """See `Objective.alignment`."""
        alone = kind.alone(encoded, present)
        # [column, batch], summed over the observed columns to one term, [1, batch].
        return tf.reduce_sum(posterior.kl_to(alone) * tf.transpose(present), axis=0)[tf.newaxis]

    def bound(
        self, terms: Terms, z: tf.Tensor, found: Reconstruction, step: Step
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See the formula of the class."""
        kl = terms.posterior.kl_to_prior(z)
        charged = terms.posterior.charged_kl(z, kl, step.free_bits)
        each = self.alpha / terms.columns.number
        divergence = (1 - self.alpha) * charged + each * terms.alignment
        likelihood = (1 - each) * tf.reduce_mean(found.weighted, axis=0)
        return kl, likelihood - step.kl_weight * divergence

    def get_config(self) -> dict[str, Any]:
        """See `Objective.get_config`."""
        return {"alpha": self.alpha}
