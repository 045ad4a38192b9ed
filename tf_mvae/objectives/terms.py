"""The terms of an objective: their subsets, weights and reconstructions."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

from tf_mvae.modality import Modality
from tf_mvae.posteriors import Posterior

__all__ = ["EVERYTHING", "RANDOM", "Block", "Columns", "Terms", "Weights"]

# Names of blocks that are not a modality's, and that no modality can have.
EVERYTHING, RANDOM = "everything", "random subsets"
_LISTED = 64


class Block(NamedTuple):
    """Terms that are decoded to the same modalities.

    A subset of `[term, batch, column]` would cost the square of the number of columns for
    the terms of one column each, so that those leave it out.

    Attributes:
        name: `EVERYTHING`, `RANDOM`, or the modality each of whose columns is a term alone.
        weight: The weight with which a term counts for an example, `[term, batch]`; 0 where
            it does not count.
        subset: 1 where a term's subset contains a column, `[term, batch, column]`; None for
            a modality's block.
        exists: 1 where the example has such a subset, whatever its weight, `[term, batch]`;
            None where nothing asks for it.
    """

    name: str
    weight: tf.Tensor
    subset: tf.Tensor | None = None
    exists: tf.Tensor | None = None


class Weights(NamedTuple):
    """The weights of a modality's log-likelihoods, one number a column.

    Attributes:
        own: In terms whose subset contains the column.
        cross: In terms whose subset does not contain it.
    """

    own: tuple[float, ...]
    cross: tuple[float, ...]


class Columns:
    """The columns of each modality: one for a single modality, one per member for a group."""

    def __init__(self, modalities: Sequence[Modality]):
        """Lists the columns of modalities, in their order."""
        self.of: dict[str, slice] = {}
        start = 0
        for modality in modalities:
            self.of[modality.name] = slice(start, start + modality.size)
            start += modality.size
        self.number = start
        self.has_groups = start > len(modalities)

    def subset(self, block: Block, present: tf.Tensor) -> tf.Tensor:
        """Returns a block's subsets in full, `[term, batch, column]`.

        Args:
            block: The block.
            present: 1 where an example has a column, `[batch, column]`.
        """
        if block.subset is not None:
            return block.subset
        own = self.of[block.name]
        return tf.eye(self.number)[own, tf.newaxis, :] * present


class Terms(NamedTuple):
    """The terms of a batch, with their posteriors.

    Attributes:
        columns: The modalities' columns.
        blocks: The terms, in order.
        posterior: Their posteriors, `[term, batch]`.
        decoded: By modality, the names of the blocks that are decoded to it.
        weights: By modality, the weights of its log-likelihoods.
        alignment: Divergences that an objective weighs and subtracts, in nats,
            `[term, batch]`; None without.
        mixture: The posterior of all that an example has, `[batch]`, for objectives whose
            terms sample its components; else None.
    """

    columns: Columns
    blocks: tuple[Block, ...]
    posterior: Posterior
    decoded: Mapping[str, tuple[str, ...]]
    weights: Mapping[str, Weights]
    alignment: tf.Tensor | None = None
    mixture: Posterior | None = None

    @property
    def weight(self) -> tf.Tensor:
        """The weight with which each term counts for each example, `[term, batch]`."""
        return tf.concat([block.weight for block in self.blocks], 0)

    def subset(self, present: tf.Tensor) -> tf.Tensor:
        """Returns which columns each term's posterior sees, `[term, batch, column]`.

        Of more than 64 columns, for which that would be a large tensor, it is the first block and
        the terms of several modalities only.

        Args:
            present: 1 where an example has a column, `[batch, column]`.
        """
        blocks: Sequence[Block] = self.blocks
        if self.columns.number > _LISTED:
            first, *others = blocks
            blocks = [first, *(block for block in others if block.subset is not None)]
        return tf.concat([self.columns.subset(block, present) for block in blocks], 0)

    def places(self) -> dict[str, slice]:
        """Returns the positions of the terms of each block, by its name."""
        places, start = {}, 0
        for block in self.blocks:
            places[block.name] = slice(start, start + block.weight.shape[0])
            start = places[block.name].stop
        return places
