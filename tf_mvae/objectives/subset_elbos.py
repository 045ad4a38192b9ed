"""The sub-sampled multi-term objective of Wu and Goodman."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.errors import UserError
from tf_mvae.modality import Modality
from tf_mvae.objectives.objective import Objective
from tf_mvae.objectives.subsets import (
    SUBSET_DISTRIBUTIONS,
    check_num_random,
    num_proper_subsets,
    random_subsets,
)
from tf_mvae.objectives.terms import EVERYTHING, RANDOM, Block, Columns, Weights
from tf_mvae.posteriors import DiagonalGaussian, Encoded, Posterior, PosteriorKind
from tf_mvae.settings import Setting

__all__ = ["SUBSET_SETTINGS", "SubsetElbos", "default_num_random_subsets", "default_term_weight"]

SUBSET_SETTINGS = (
    Setting(
        "cross_weight",
        {},
        "Weights of log-likelihoods in the terms whose subset does not contain the "
        "modality. Default: the likelihood weight; the paper's objective has 0.",
        argument="",
    ),
    Setting(
        "term_weight",
        {},
        "Weights of whole terms, for examples with several modalities: label=0.1 is that of the "
        "ELBO of the label alone, everything=0.5 of the joint one. If omitted, 1 / (S - 1)^2 for "
        "each of S single modalities, at most 0.1 for a class, if others are reconstructed from "
        "them; else 1, as in the paper.",
    ),
    Setting(
        "alignment_weight",
        0.0,
        "Weight of the divergences KL(q(z | all) || q(z | subset)), which replace the "
        "ELBOs of subsets and need no decoding; 0: no divergences.",
        checks.non_negative,
    ),
    Setting(
        "num_random_subsets",
        0,
        "Number of random subsets per step, the paper's k.",
        checks.non_negative_integer,
    ),
    Setting(
        "subset_distribution",
        "uniform_sizes",
        "How random subsets are drawn.",
        choices=SUBSET_DISTRIBUTIONS,
    ),
)

_CLASS_ALONE = 0.1
_RANDOM_WEIGHT = "random"  # of the block RANDOM, in term_weight


def default_term_weight(
    modalities: Sequence[Modality], alignment_weight: float = 0.0
) -> dict[str, float]:
    """Returns the `term_weight` of an `MVAE` that is given none.

    - The term of a single modality alone weighs `1 / (S - 1)^2` where there are S > 2 single
      modalities. Each of the S terms reconstructs S - 1 other modalities, and these S (S - 1)
      reconstructions together then weigh about as much as one modality. With weights of 1 these
      terms outweigh the joint term S to 1; a single column predicts little of the others, and
      the posterior collapses.
    - The term of a class alone (`Categorical`) weighs at most 0.1 if other modalities are
      reconstructed from it: a larger weight reduces the likelihood of images, and the expert of the
      class does not learn more from it. Where labels are few, or training is short, it needs
      more (`term_weight={}`: all of it).
    - The members of a `ModalityGroup` weigh 1: alone they reconstruct nothing but themselves.
    - Where no modality has a `cross_weight`, as in the paper, every weight is 1.
    - With an `alignment_weight` all terms but the joint one weigh 0: their posteriors learn from
      the alignment, which decodes nothing.

    docs/objectives.md has the measurements.

    Args:
        modalities: The modalities of a model.
        alignment_weight: See `SubsetElbos`.

    Returns:
        Weights by name; those omitted are 1, as is the one of the joint term.
    """
    if alignment_weight:
        columns = [name for modality in modalities for name in modality.column_names]
        return dict.fromkeys([*columns, _RANDOM_WEIGHT], 0.0)
    if not any(np.any(m.cross_weight) for m in modalities):
        return {}
    singles = [modality for modality in modalities if not modality.mask_shape]
    classes = [modality.name for modality in singles if modality.likelihood.is_categorical]
    weights = dict.fromkeys([m.name for m in singles], 1 / max(1, len(singles) - 1) ** 2)
    if any(np.any(m.cross_weight) for m in modalities if m.name not in classes):
        weights |= {name: min(_CLASS_ALONE, weights[name]) for name in classes}
    return {name: weight for name, weight in weights.items() if weight != 1}


def default_num_random_subsets(modalities: Sequence[Modality]) -> int:
    """Returns the `num_random_subsets` of an `MVAE` that is given none: 0, or 2 with a group.

    Alone the members of a `ModalityGroup` reconstruct only themselves. Without random subsets
    nothing would teach a posterior what members say of each other (docs/objectives.md): the
    posterior of some members predicts the others by their means.

    Args:
        modalities: The modalities of a model.
    """
    grouped = any(m.mask_shape and np.any(m.cross_weight) for m in modalities)
    columns = sum(modality.size for modality in modalities)
    return min(2, num_proper_subsets(columns)) if grouped else 0


@keras.saving.register_keras_serializable("tf_mvae")
class SubsetElbos(Objective):
    """The ELBO of all that an example has, of each part alone, and of random subsets.

        ELBO(all) + sum_i w_i ELBO({x_i}) + sum_{j=1..k} ELBO(X_j)
            - alignment_weight sum_S KL(q(z | all) || q(z | S))

    (Wu and Goodman, NeurIPS 2018, equation 4; the last sum is over the subsets that are
    terms, and 0 in the paper.) The `likelihood_weight` and `cross_weight` of a modality determine
    in which terms it is reconstructed. An example with one observed modality has one term, of
    weight 1.

    If there is a group among the modalities, the term of a single member reconstructs this member
    only. (N members, each from N members alone, would cost N^2 decodings.)

    Example:

    ```python
    objective = SubsetElbos(num_random_subsets=2, term_weight={"label": 0.1})
    model = MultimodalVAE(
        [
            Modality("image", likelihoods.Bernoulli([28, 28, 1])),
            Modality("label", likelihoods.Categorical(10)),
            Modality("text", likelihoods.Poisson([50])),
        ],
        latent_dim=16,
        objective=objective,
    )
    ```
    """

    splits_seed = True
    takes_cross_weight = True

    def __init__(
        self,
        num_random_subsets: int | None = None,
        subset_distribution: str = "uniform_sizes",
        term_weight: Mapping[str, float] | None = None,
        alignment_weight: float = 0.0,
    ):
        """Creates the objective.

        Args:
            num_random_subsets: The paper's k; default: `default_num_random_subsets`.
            subset_distribution: See `tf_mvae.objectives.subsets.random_subsets`.
            term_weight: By column that of it alone, `everything` that of all together,
                `random` that of random subsets; 1 for others. Default: `default_term_weight`,
                0 for all terms but the joint one with an `alignment_weight`.
            alignment_weight: The weight of the divergences between posteriors. They cost no
                decoding; terms of weight 0 are not decoded at all.

        Raises:
            ValueError: A number is out of its range, or a name is not known.
        """
        self.num_random_subsets = num_random_subsets
        self.subset_distribution = checks.one_of(
            "subset_distribution", subset_distribution, SUBSET_DISTRIBUTIONS
        )
        if term_weight is not None:
            checks.instance("term_weight", term_weight, Mapping, "a dict of numbers by modality")
        self._given_weight = None if term_weight is None else dict(term_weight)
        self.alignment_weight = checks.non_negative("alignment_weight", alignment_weight)

    def check(self, modalities: Sequence[Modality]) -> None:
        """See `Objective.check`."""
        names = [name for modality in modalities for name in modality.column_names]
        if self.num_random_subsets is None:
            self.num_random_subsets = default_num_random_subsets(modalities)
        check_num_random(self.num_random_subsets, len(names))
        known = [EVERYTHING, *names, _RANDOM_WEIGHT]
        weights = self._given_weight
        if weights is None:
            weights = default_term_weight(modalities, self.alignment_weight)
        for name in weights:
            if name not in known:
                raise UserError(f"term_weight names {name!r}; it is for some of {known}")
        self.term_weight = {
            name: checks.non_negative(f"term_weight[{name!r}]", weight)
            for name, weight in weights.items()
        }
        self._names = {modality.name: modality.column_names for modality in modalities}

    @property
    def is_random(self) -> bool:
        """See `Objective.is_random`."""
        return self.num_random_subsets > 0

    def blocks(
        self, columns: Columns, present: tf.Tensor, seed: tf.Tensor | None
    ) -> tuple[Block, ...]:
        """See `Objective.blocks`."""
        count = tf.reduce_sum(present, axis=1)
        some = tf.cast(count > 0, tf.float32)[tf.newaxis]
        several = tf.cast(count > 1, tf.float32)
        found = [Block(EVERYTHING, some, present[tf.newaxis], some)]
        for name, own in columns.of.items():
            there = tf.transpose(present[:, own]) * several
            found.append(Block(name, there, None, there))
        if self.num_random_subsets:
            drawn = random_subsets(present, self.num_random_subsets, self.subset_distribution, seed)
            found.append(Block(RANDOM, drawn.valid, drawn.subset, drawn.valid))
        if not self.term_weight:
            return tuple(found)
        return tuple(self._weighted(block, count > 1) for block in found)

    def _weighted(self, block: Block, several: tf.Tensor) -> Block:
        """Multiplies a block's terms by their weights, for examples of several modalities."""
        weight = tf.constant(self._block_weights(block.name))[:, tf.newaxis]
        return block._replace(weight=block.weight * tf.where(several, weight, 1.0))

    def _block_weights(self, name: str) -> list[float]:
        names = self._names.get(name, (_RANDOM_WEIGHT if name == RANDOM else name,))
        return [self.term_weight.get(column, 1.0) for column in names]

    def decoded(self, modalities: Sequence[Modality]) -> dict[str, tuple[str, ...]]:
        """See `Objective.decoded`."""
        singles = [m.name for m in modalities if not m.mask_shape]
        found = {}
        for modality in modalities:
            alone = {modality.name}
            if np.any(modality.cross_weight):
                alone.update(singles)
            wanted = [EVERYTHING, *[m.name for m in modalities if m.name in alone]]
            wanted += [RANDOM] * bool(self.num_random_subsets)
            # The first term's likelihoods are metrics, whatever its weight.
            found[modality.name] = tuple(
                name for name in wanted if name == EVERYTHING or any(self._block_weights(name))
            )
        return found

    def weights(self, modality: Modality) -> Weights:
        """See `Objective.weights`."""
        parts = modality.likelihood_weight, modality.cross_weight
        return Weights(*(tuple(np.atleast_1d(part).tolist()) for part in parts))

    def posterior(
        self,
        kind: PosteriorKind,
        encoded: Encoded,
        columns: Columns,
        blocks: Sequence[Block],
        present: tf.Tensor,
    ) -> Posterior:
        """See `Objective.posterior`."""
        if not columns.has_groups:
            subsets = [columns.subset(block, present) for block in blocks]
            return kind.of(encoded, tf.concat(subsets, 0))
        subsets = [block.subset for block in blocks if block.subset is not None]
        several: Any = kind.of(encoded, tf.concat(subsets, 0))
        parts = [several.take(slice(0, 1)), kind.alone(encoded, present)]
        return DiagonalGaussian.join([*parts, several.take(slice(1, None))])

    def alignment(
        self,
        kind: PosteriorKind,
        encoded: Encoded,
        blocks: Sequence[Block],
        posterior: Posterior,
        present: tf.Tensor,
    ) -> tf.Tensor | None:
        """See `Objective.alignment`: it is the first term's, of all that an example has."""
        if not self.alignment_weight:
            return None
        divergences = posterior.take(slice(0, 1)).kl_to(posterior)
        exists = tf.concat([block.exists for block in blocks], 0)
        total = tf.reduce_sum(divergences * exists, axis=0, keepdims=True)
        return tf.pad(total, [[0, divergences.shape[0] - 1], [0, 0]])

    def get_config(self) -> dict[str, Any]:
        """See `Objective.get_config`."""
        return {
            "num_random_subsets": self.num_random_subsets,
            "subset_distribution": self.subset_distribution,
            "term_weight": self.term_weight,
            "alignment_weight": self.alignment_weight,
        }
