"""Batches of sequences of similar length, with little padding."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tf_mvae.ops.tokens import counted

__all__ = ["Buckets"]

# Lengths are rounded up to this, so that there are few shapes of batches to compile for.
_MULTIPLE = 8


@dataclasses.dataclass(frozen=True)
class Buckets:
    """Makes batches of sequences of similar length.

    Consecutive examples of `batches` batches, in the epoch's random order, are sorted by length and
    divided into batches, whose order is then random.

    Attributes:
        names: The modalities that are sequences, rows of ids as described in `tf_mvae.ops.tokens`.
        batches: The number of batches that are sorted together.
    """

    names: tuple[str, ...]
    batches: int

    def sort(self, examples: tf.data.Dataset, rows: int, stream: tf.Tensor) -> tf.data.Dataset:
        """Returns the same examples in an order in which those of a batch have similar lengths.

        Args:
            examples: Examples in the epoch's random order.
            rows: The number of examples per batch.
            stream: The seed of the order of batches, two integers.
        """

        def sorted_window(place, window):
            lengths = self._lengths(window)
            whole = tf.size(lengths) // rows
            # Sorted examples of complete batches, [whole, rows], in random order. The rest follows
            # unsorted: an epoch may leave it out, and it would be the longest examples.
            order = tf.argsort(lengths[: whole * rows], stable=True)
            cut = tf.reshape(order, [whole, rows])
            noise = tf.random.stateless_uniform([self.batches], tf.random.fold_in(stream, place))
            cut = tf.gather(cut, tf.argsort(noise[:whole]))
            rest = tf.range(whole * rows, tf.size(lengths))
            order = tf.concat([tf.reshape(cut, [-1]), rest], 0)
            return tf.nest.map_structure(lambda values: tf.gather(values, order), window)

        windows = examples.batch(rows * self.batches).enumerate()
        return windows.map(sorted_window).unbatch()

    def trim(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Removes the padding at the end of all rows of a batch, up to a length that 8 divides."""
        x = dict(batch["x"])
        for name in self.names:
            said = tf.reduce_any(self._said(batch, name), axis=0)
            places = tf.range(1, tf.size(said) + 1)
            longest = tf.reduce_max(tf.where(said, places, 1))
            length = tf.minimum(-(-longest // _MULTIPLE) * _MULTIPLE, tf.size(said))
            x[name] = x[name][:, :length]
        return {**batch, "x": x}

    def _lengths(self, window: Mapping[str, Any]) -> tf.Tensor:
        """Returns how long the longest sequence of each example is, `[rows]`."""
        lengths = [
            tf.reduce_sum(tf.cast(self._said(window, name), tf.int32), axis=1)
            for name in self.names
        ]
        return tf.reduce_max(tf.stack(lengths), axis=0)

    def _said(self, part: Mapping[str, Any], name: str) -> tf.Tensor:
        """Returns which symbols count, `[rows, length]`."""
        said = counted(tf.cast(part["x"][name], tf.int32))
        if name in part.get("mask", {}):
            said &= part["mask"][name][:, tf.newaxis] > 0
        return said
