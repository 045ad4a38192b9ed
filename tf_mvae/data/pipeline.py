"""Makes batches of a split's examples, in an order that can be resumed at any step."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tf_mvae.data.buckets import Buckets
from tf_mvae.data.remote import from_service
from tf_mvae.data.sharding import WHOLE, Part, shard_batches
from tf_mvae.data.split import Split
from tf_mvae.data.strata import Stratum
from tf_mvae.errors import UserError

__all__ = ["CACHE_BYTES", "Split", "evaluation_batches", "training_batches"]

# The default of the largest size of a split that is kept in memory.
CACHE_BYTES = 2**31

_TRAINING_STREAM, _EVALUATION_STREAM, _ORDER_OF_BATCHES = 11, 12, 13


def training_batches(
    split: Split,
    batch_size: int,
    num_epochs: int,
    seed: int,
    shuffle_buffer: int = 100_000,
    first_epoch: int = 0,
    skip_batches: int = 0,
    strata: Sequence[Stratum] | None = None,
    streams: int = 1,
    part: Part = WHOLE,
    cache_bytes: int = CACHE_BYTES,
    service: str | None = None,
    buckets: Buckets | None = None,
) -> tf.data.Dataset:
    """Returns the batches of some epochs, shuffled, all of `batch_size`.

    The order and the random numbers of an epoch depend only on the seed and the number of the
    epoch, so a stream that is resumed at any epoch and batch has the same batches as an
    uninterrupted one. What is left over after the last whole batch of an epoch is excluded from
    that epoch. With strata, or an epoch longer than the data, examples come again within an epoch,
    in another order each time.

    Args:
        split: The examples.
        batch_size: Examples per batch.
        num_epochs: The epoch to stop before.
        seed: Seed of order and draws.
        shuffle_buffer: Examples held for shuffling.
        first_epoch: The epoch to begin with.
        skip_batches: Batches of the first epoch to leave out.
        strata: The composition of a batch (`tf_mvae.data.strata.cut`). Default: random examples.
        streams: Number of parts of the split, each read and shuffled by itself, with as many rows
            of every batch. They decide which examples meet in a batch; `part` does not.
        part: The rows of every batch that are wanted. Of several streams, only those that have
            such rows are read.
        cache_bytes: Examples that take no more than this are kept in memory; others are read
            again every epoch.
        service: Address of a `tf.data` service that does the work. Default: this process.
        buckets: How sequences of like length come together. Default: they meet at random, padded
            to the longest that there may be.

    Raises:
        UserError: The streams do not fit the batches, the strata or the parts.
    """
    sources = [
        _Examples(source.dataset, source.num_examples, rows, max(1, shuffle_buffer // streams))
        for source, rows in _sources(split, batch_size, strata, streams, part)
    ]
    if _fits(split, cache_bytes):
        sources = [dataclasses.replace(s, dataset=s.dataset.cache()) for s in sources]
    steps, first = split.steps_per_epoch(batch_size), part.first * streams // part.total
    epochs = _Epochs(split, sources, first, streams, steps, seed, buckets)
    batches = epochs.batches(first_epoch, num_epochs).skip(skip_batches)
    batches = shard_batches(batches, WHOLE if streams > 1 else part)
    if service is not None:
        batches = from_service(batches.with_options(_options()), service)
    number = (num_epochs - first_epoch) * steps - skip_batches
    batches = batches.apply(tf.data.experimental.assert_cardinality(number))
    return batches.prefetch(2).with_options(_options())


def _sources(
    split: Split,
    batch_size: int,
    strata: Sequence[Stratum] | None,
    streams: int,
    part: Part,
) -> list[tuple[Split, int]]:
    """Returns the sources of a batch, and the number of rows from each."""
    if streams == 1:
        return [(split.where(s.members), s.rows) for s in strata or ()] or [(split, batch_size)]
    if strata:
        raise UserError("--input_streams above 1 and --paired_share do not go together")
    for what, number in (("--batch_size", batch_size), ("the examples", split.num_examples)):
        if number < streams:
            raise UserError(f"--input_streams={streams} is more than {what}: {number}")
    if batch_size % streams or streams % part.total:
        raise UserError(
            f"--input_streams={streams} has to divide --batch_size={batch_size}, and be a "
            f"multiple of the number of replicas, {part.total}"
        )
    each = streams // part.total
    own = range(part.first * each, (part.first + part.count) * each)
    return [(split.part(index, streams), batch_size // streams) for index in own]


@dataclasses.dataclass(frozen=True)
class _Examples:
    """A source of examples, with the number of rows that it has in each batch."""

    dataset: tf.data.Dataset
    number: int
    rows: int
    shuffle_buffer: int

    def batches(
        self, steps: int, stream: tf.Tensor, order: tuple[Buckets, tf.Tensor] | None
    ) -> tf.data.Dataset:
        """Returns an epoch's batches: shuffled examples, again and again if they do not suffice."""
        passes = -(-steps * self.rows // self.number)
        if passes == 1:
            shuffled = self._shuffled(stream)
        else:
            shuffled = tf.data.Dataset.range(passes).flat_map(
                lambda index: self._shuffled(tf.random.fold_in(stream, index))
            )
        if order is not None:
            buckets, own = order
            # Where few examples come again and again, the passes that are sorted together would
            # put one several times into a batch.
            if passes == 1 or self.number >= self.rows * buckets.batches:
                shuffled = buckets.sort(shuffled, self.rows, own)
        return shuffled.batch(self.rows, drop_remainder=True).take(steps)

    def _shuffled(self, stream: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.stateless_uniform([], stream, None, None, tf.int64)
        # This function's graph gets a seed of its own: `shuffle` mixes in the graph's,
        # which is the user's global one otherwise, and cannot compare a tensor with 0.
        tf.compat.v1.set_random_seed(_TRAINING_STREAM)
        buffer = min(self.shuffle_buffer, self.number)
        return self.dataset.shuffle(buffer, seed=order, reshuffle_each_iteration=False)


@dataclasses.dataclass(frozen=True)
class _Epochs:
    """The sources of every epoch's batches, and their number.

    Attributes:
        split: The split, whose random draws are those of a batch.
        sources: Each gives some rows of every batch.
        first_stream: The number of the first source among all streams.
        streams: The number of streams of all processes.
        steps: Batches of an epoch.
        seed: Seed of order and draws.
        buckets: How sequences of like length come together, if they do.
    """

    split: Split
    sources: Sequence[_Examples]
    first_stream: int
    streams: int
    steps: int
    seed: int
    buckets: Buckets | None

    def batches(self, first: int, end: int) -> tf.data.Dataset:
        """Returns the batches of the epochs from `first` to before `end`."""
        batches = tf.data.Dataset.range(first, end).flat_map(self._one)
        return batches if self.buckets is None else batches.map(self.buckets.trim)

    @tf.autograph.experimental.do_not_convert  # there is nothing to convert, and it takes seconds
    def _one(self, epoch: tf.Tensor) -> tf.data.Dataset:
        stream = tf.random.fold_in(tf.constant([self.seed, _TRAINING_STREAM]), epoch)
        seeds = self._seeds(stream)
        # Sources sort for themselves, and have their long sequences in the same batches.
        order = None
        if self.buckets is not None:
            order = (self.buckets, tf.random.fold_in(stream, _ORDER_OF_BATCHES))
        drawn = [e.batches(self.steps, s, order) for e, s in zip(self.sources, seeds, strict=True)]
        if self.streams == 1:
            return _randomized_batches(self.split, _zipped(drawn), stream)
        return _zipped(
            [_randomized_batches(self.split, b, s) for b, s in zip(drawn, seeds, strict=True)]
        )

    def _seeds(self, stream: tf.Tensor) -> list[tf.Tensor]:
        """Returns a seed for each source."""
        if self.streams == 1 and len(self.sources) == 1:
            return [stream]
        places = range(self.first_stream, self.first_stream + len(self.sources))
        return [tf.random.fold_in(stream, -1 - n) for n in places]


def _zipped(drawn: list[tf.data.Dataset]) -> tf.data.Dataset:
    return drawn[0] if len(drawn) == 1 else tf.data.Dataset.zip(*drawn).map(_joined)


def _joined(*parts: dict[str, Any]) -> dict[str, Any]:
    return tf.nest.map_structure(lambda *values: tf.concat(values, axis=0), *parts)


def evaluation_batches(
    split: Split, batch_size: int, seed: int = 0, cache_bytes: int = CACHE_BYTES
) -> tf.data.Dataset:
    """Returns every example once, in a fixed order; the last batch may be smaller.

    Args:
        split: The examples.
        batch_size: Examples per batch; random transformations do not depend on it.
        seed: Seed of random draws.
        cache_bytes: See `training_batches`.
    """
    stream = tf.constant([seed, _EVALUATION_STREAM])
    examples = split.dataset.enumerate().map(
        lambda index, example: _randomized(split, example, stream, index)
    )
    batches = examples.batch(batch_size)
    if _fits(split, cache_bytes):
        batches = batches.cache()
    return batches.prefetch(2).with_options(_options())


def _fits(split: Split, cache_bytes: int) -> bool:
    return split.num_bytes is not None and split.num_bytes <= cache_bytes


def _randomized_batches(
    split: Split, batches: tf.data.Dataset, stream: tf.Tensor
) -> tf.data.Dataset:
    if split.randomize is None:
        return batches
    return batches.enumerate().map(lambda index, batch: _randomized(split, batch, stream, index))


def _randomized(split: Split, part: dict[str, Any], stream: tf.Tensor, index: tf.Tensor):
    if split.randomize is None:
        return part
    seed = tf.random.fold_in(stream, index)
    return {**part, "x": split.randomize(part["x"], seed)}


def _options() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False  # else deleting an iterator can block for seconds
    # Half of the cores at most: the rest is the training step's.
    options.threading.private_threadpool_size = max(1, (os.cpu_count() or 1) // 2)
    return options
