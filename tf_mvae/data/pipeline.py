"""From a split's examples to batches, in an order that can be taken up anywhere."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mvae.data.strata import Stratum

__all__ = ["Split", "evaluation_batches", "training_batches"]

_TRAINING_STREAM, _EVALUATION_STREAM = 11, 12


@dataclasses.dataclass(frozen=True)
class Split:
    """The examples of one split.

    Attributes:
        dataset: Elements `{"x": {name: tensor}}` (and `"mask"` where parts are missing),
            not batched, always in the same order.
        num_examples: How many there are.
        randomize: What is random about an example (a binarisation, say), as a function
            of `x` by name and a seed of two integers: drawn afresh every epoch in
            training, and once and for all, by an example's place, in evaluation.
        presence: By modality, 1 where an example has it, `[num_examples]`; where it is
            not known what the examples lack, None.
        examples_per_epoch: How many examples an epoch of training takes; all of them
            once where None.
    """

    dataset: tf.data.Dataset
    num_examples: int
    randomize: Callable[[dict[str, Any], tf.Tensor], dict[str, Any]] | None = None
    presence: Mapping[str, np.ndarray] | None = None
    examples_per_epoch: int | None = None

    def steps_per_epoch(self, batch_size: int) -> int:
        """Returns how many batches an epoch of training has."""
        return (self.examples_per_epoch or self.num_examples) // batch_size

    def where(self, members: np.ndarray) -> "Split":
        """Returns some of the examples, in the same order.

        Args:
            members: True for those to keep, `[num_examples]`.
        """
        flags = tf.data.Dataset.from_tensor_slices(np.asarray(members, bool))
        kept = tf.data.Dataset.zip((self.dataset, flags)).filter(lambda _, member: member)
        return dataclasses.replace(
            self,
            dataset=kept.map(lambda example, _: example),
            num_examples=int(np.sum(members)),
            presence=self.presence and {n: v[members] for n, v in self.presence.items()},
        )

    def only(self, names: Sequence[str]) -> "Split":
        """Returns the same examples with some of their modalities.

        What is random about them is drawn as before, from all of them.

        Args:
            names: The modalities to keep.
        """

        def keep(values):
            return {name: values[name] for name in names if name in values}

        def keep_parts(example):
            later = ["x"] if self.randomize else []
            return {part: v if part in later else keep(v) for part, v in example.items()}

        def randomize(x, seed):
            return keep(self.randomize(x, seed))

        return dataclasses.replace(
            self,
            dataset=self.dataset.map(keep_parts),
            randomize=self.randomize and randomize,
            presence=self.presence and keep(self.presence),
        )


def training_batches(
    split: Split,
    batch_size: int,
    num_epochs: int,
    seed: int,
    shuffle_buffer: int = 100_000,
    first_epoch: int = 0,
    skip_batches: int = 0,
    strata: Sequence[Stratum] | None = None,
) -> tf.data.Dataset:
    """Returns the batches of some epochs, shuffled, all of `batch_size`.

    An epoch's order and its random draws are functions of the seed and the epoch's
    number, so that a stream taken up at any epoch and batch goes on as the whole one
    would have. What is left over after the last whole batch of an epoch is left out of
    that epoch. With strata, or an epoch longer than the data, examples come again within
    an epoch, in another order each time.

    Args:
        split: The examples.
        batch_size: Examples a batch.
        num_epochs: The epoch to stop before.
        seed: Seed of order and draws.
        shuffle_buffer: Examples held for shuffling.
        first_epoch: The epoch to begin with.
        skip_batches: Batches of the first epoch to leave out.
        strata: What a batch is composed of, `tf_mvae.data.strata.cut`; a fair share of
            everything where None. A batch has the strata's rows in their order.
    """
    steps = split.steps_per_epoch(batch_size)
    parts = [(split.where(s.members), s.rows) for s in strata or ()] or [(split, batch_size)]
    streams = [
        _Examples(part.dataset.cache(), part.num_examples, rows, shuffle_buffer)
        for part, rows in parts
    ]

    def one_epoch(epoch):
        stream = tf.random.fold_in(tf.constant([seed, _TRAINING_STREAM]), epoch)
        seeds = (
            [stream]
            if len(streams) == 1
            else [tf.random.fold_in(stream, -1 - place) for place in range(len(streams))]
        )
        drawn = [
            examples.batches(steps, seed) for examples, seed in zip(streams, seeds, strict=True)
        ]
        batches = drawn[0] if len(drawn) == 1 else tf.data.Dataset.zip(*drawn).map(_joined)
        batches = batches.enumerate()
        return batches.map(lambda index, batch: _randomized(split, batch, stream, index))

    epochs = tf.data.Dataset.range(first_epoch, num_epochs).flat_map(one_epoch)
    number = (num_epochs - first_epoch) * steps - skip_batches
    batches = epochs.skip(skip_batches).apply(tf.data.experimental.assert_cardinality(number))
    return batches.prefetch(2).with_options(_options())


@dataclasses.dataclass(frozen=True)
class _Examples:
    """Examples to be drawn from, so many a batch."""

    dataset: tf.data.Dataset
    number: int
    rows: int
    shuffle_buffer: int

    def batches(self, steps: int, stream: tf.Tensor) -> tf.data.Dataset:
        """Returns an epoch's batches: shuffled examples, again and again if they do not suffice."""
        passes = -(-steps * self.rows // self.number)
        if passes == 1:
            shuffled = self._shuffled(stream)
        else:
            shuffled = tf.data.Dataset.range(passes).flat_map(
                lambda index: self._shuffled(tf.random.fold_in(stream, index))
            )
        return shuffled.batch(self.rows, drop_remainder=True).take(steps)

    def _shuffled(self, stream: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.stateless_uniform([], stream, None, None, tf.int64)
        # This function's graph gets a seed of its own: `shuffle` mixes in the graph's,
        # which is the user's global one otherwise, and cannot compare a tensor with 0.
        tf.compat.v1.set_random_seed(_TRAINING_STREAM)
        buffer = min(self.shuffle_buffer, self.number)
        return self.dataset.shuffle(buffer, seed=order, reshuffle_each_iteration=False)


def _joined(*parts: dict[str, Any]) -> dict[str, Any]:
    return tf.nest.map_structure(lambda *values: tf.concat(values, axis=0), *parts)


def evaluation_batches(split: Split, batch_size: int, seed: int = 0) -> tf.data.Dataset:
    """Returns every example once, in a fixed order; the last batch may be smaller.

    Args:
        split: The examples.
        batch_size: Examples a batch; what is random does not depend on it.
        seed: Seed of random draws.
    """
    stream = tf.constant([seed, _EVALUATION_STREAM])
    examples = split.dataset.enumerate().map(
        lambda index, example: _randomized(split, example, stream, index)
    )
    return examples.batch(batch_size).cache().prefetch(2).with_options(_options())


def _randomized(split: Split, part: dict[str, Any], stream: tf.Tensor, index: tf.Tensor):
    if split.randomize is None:
        return part
    seed = tf.random.fold_in(stream, index)
    return {**part, "x": split.randomize(part["x"], seed)}


def _options() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False  # else deleting an iterator can block for seconds
    options.threading.private_threadpool_size = 1
    return options
