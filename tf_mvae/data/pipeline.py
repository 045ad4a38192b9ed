"""From a split's examples to batches, in an order that can be taken up anywhere."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

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
    """

    dataset: tf.data.Dataset
    num_examples: int
    randomize: Callable[[dict[str, Any], tf.Tensor], dict[str, Any]] | None = None

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

        return Split(self.dataset.map(keep_parts), self.num_examples, self.randomize and randomize)


def training_batches(
    split: Split,
    batch_size: int,
    num_epochs: int,
    seed: int,
    shuffle_buffer: int = 100_000,
    first_epoch: int = 0,
    skip_batches: int = 0,
) -> tf.data.Dataset:
    """Returns the batches of some epochs, shuffled, all of `batch_size`.

    An epoch's order and its random draws are functions of the seed and the epoch's
    number, so that a stream taken up at any epoch and batch goes on as the whole one
    would have. What is left over after the last whole batch of an epoch is left out of
    that epoch.

    Args:
        split: The examples.
        batch_size: Examples a batch.
        num_epochs: The epoch to stop before.
        seed: Seed of order and draws.
        shuffle_buffer: Examples held for shuffling.
        first_epoch: The epoch to begin with.
        skip_batches: Batches of the first epoch to leave out.
    """
    examples = split.dataset.cache()
    buffer = min(shuffle_buffer, split.num_examples)

    def one_epoch(epoch):
        stream = tf.random.fold_in(tf.constant([seed, _TRAINING_STREAM]), epoch)
        order = tf.random.stateless_uniform([], stream, None, None, tf.int64)
        # This function's graph gets a seed of its own: `shuffle` mixes in the graph's,
        # which is the user's global one otherwise, and cannot compare a tensor with 0.
        tf.compat.v1.set_random_seed(_TRAINING_STREAM)
        batches = examples.shuffle(buffer, seed=order, reshuffle_each_iteration=False)
        batches = batches.batch(batch_size, drop_remainder=True).enumerate()
        return batches.map(lambda index, batch: _randomized(split, batch, stream, index))

    epochs = tf.data.Dataset.range(first_epoch, num_epochs).flat_map(one_epoch)
    number = (num_epochs - first_epoch) * (split.num_examples // batch_size) - skip_batches
    batches = epochs.skip(skip_batches).apply(tf.data.experimental.assert_cardinality(number))
    return batches.prefetch(2).with_options(_options())


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
