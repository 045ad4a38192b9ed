"""Objectives whose terms see one modality each."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mvae.modality import Modality
from tf_mvae.objectives.objective import Objective, complete_examples
from tf_mvae.objectives.terms import EVERYTHING, Block, Columns, Weights
from tf_mvae.posteriors import DiagonalGaussian, Encoded, Posterior, PosteriorKind

__all__ = ["EachExplainsAll", "JointAndUnimodalElbos"]


@keras.saving.register_keras_serializable("tf_mvae")
class EachExplainsAll(Objective):
    """Each modality's posterior explains all modalities that an example has.

        sum_i mu_i ( E_q(z|x_i)[ sum_j w_j log p(x_j | z) ] - kl_weight KL(q(z|x_i) || p(z)) )

    with the same `mu_i` for each modality that an example has, adding up to 1.
    """

    def blocks(
        self, columns: Columns, present: tf.Tensor, seed: tf.Tensor | None
    ) -> tuple[Block, ...]:
        """See `Objective.blocks`."""
        # mu_i = 1 / (number of observed modalities), 0 for missing ones; [modality, batch].
        number = tf.reduce_sum(present, axis=1, keepdims=True)
        weight = tf.transpose(tf.math.divide_no_nan(present, number))
        return tuple(Block(name, weight[own]) for name, own in columns.of.items())

    def decoded(self, modalities: Sequence[Modality]) -> dict[str, tuple[str, ...]]:
        """See `Objective.decoded`."""
        names = tuple(modality.name for modality in modalities)
        return dict.fromkeys(names, names)

    def weights(self, modality: Modality) -> Weights:
        """See `Objective.weights`: the same in every term."""
        own, _ = super().weights(modality)
        return Weights(own, own)

    def posterior(
        self,
        kind: PosteriorKind,
        encoded: Encoded,
        columns: Columns,
        blocks: Sequence[Block],
        present: tf.Tensor,
    ) -> Posterior:
        """See `Objective.posterior`."""
        return kind.alone(encoded, present)


@keras.saving.register_keras_serializable("tf_mvae")
class JointAndUnimodalElbos(Objective):
    """The joint ELBO of complete examples, and each modality's own.

    ELBO(X; q(z | X)) + sum_i ELBO(x_i; q(z | x_i))
    """

    def blocks(
        self, columns: Columns, present: tf.Tensor, seed: tf.Tensor | None
    ) -> tuple[Block, ...]:
        """See `Objective.blocks`."""
        complete = complete_examples(present)
        # The joint term is for complete examples only: one subset, [1, batch, modality].
        together = (present * complete[:, tf.newaxis])[tf.newaxis]
        weight = tf.transpose(present)
        alone = (Block(name, weight[own]) for name, own in columns.of.items())
        return (Block(EVERYTHING, complete[tf.newaxis], together), *alone)

    def decoded(self, modalities: Sequence[Modality]) -> dict[str, tuple[str, ...]]:
        """See `Objective.decoded`."""
        return {modality.name: (EVERYTHING, modality.name) for modality in modalities}

    def posterior(
        self,
        kind: PosteriorKind,
        encoded: Encoded,
        columns: Columns,
        blocks: Sequence[Block],
        present: tf.Tensor,
    ) -> Posterior:
        """See `Objective.posterior`."""
        joint: Any = kind.everything(encoded, present)
        return DiagonalGaussian.join([joint, kind.alone(encoded, present)])
