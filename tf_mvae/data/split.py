"""The examples of one split, or a part of them, in a fixed order."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

__all__ = ["Split"]

_OfRows = Callable[[tf.data.Dataset, int, int], tf.data.Dataset]


@dataclasses.dataclass(frozen=True)
class Split:
    """The examples of one split.

    Attributes:
        dataset: Elements `{"x": {name: tensor}}` (and `"mask"` where parts are missing),
            not batched, always in the same order.
        num_examples: The number of examples.
        randomize: A random transformation of an example, such as a binarisation: a function of `x`
            by name and a seed of two integers. The seed changes every epoch in training; in
            evaluation it depends only on the place of the example.
        presence: By modality, 1 where it is observed, `[num_examples]`; None if unknown.
        examples_per_epoch: Number of examples in an epoch of training; None: all, once.
        rows: From two places to the examples between them, without reading the others (of
            sharded files, only those that hold them); where None, the others are skipped.
    """

    dataset: tf.data.Dataset
    num_examples: int
    randomize: Callable[[dict[str, Any], tf.Tensor], dict[str, Any]] | None = None
    presence: Mapping[str, np.ndarray] | None = None
    examples_per_epoch: int | None = None
    rows: Callable[[int, int], tf.data.Dataset] | None = None

    @property
    def num_bytes(self) -> int | None:
        """The memory of all examples in bytes; None if their sizes are not known."""
        specs = tf.nest.flatten(self.dataset.element_spec)
        if any(spec.shape.num_elements() is None or spec.dtype == tf.string for spec in specs):
            return None
        return self.num_examples * sum(math.prod(s.shape) * s.dtype.size for s in specs)

    def map(self, function: Callable, num_parallel_calls: int | None = None) -> "Split":
        """Returns the same examples with a function of each.

        Args:
            function: As `tf.data.Dataset.map` takes it.
            num_parallel_calls: The number of examples to map at once; their order does not change.
        """

        def mapped(dataset):
            return dataset.map(function, num_parallel_calls)

        return self._in_parts(lambda dataset, *_: mapped(dataset))

    def apply(self, function: Callable[[tf.data.Dataset], tf.data.Dataset]) -> "Split":
        """Returns the same examples with a function of the data set, such as a map in batches.

        Args:
            function: It has to keep the number of examples and their order.
        """

        def applied(dataset, start, stop):
            cardinality = tf.data.experimental.assert_cardinality(stop - start)
            return function(dataset).apply(cardinality)

        return self._in_parts(applied)

    def zip(self, values: Any, function: Callable) -> "Split":
        """Returns the same examples, mapped together with further data of each.

        Args:
            values: Arrays, nested in any way, `[num_examples, ...]`.
            function: Of an example and its entries of `values`.
        """

        def zipped(dataset, start, stop):
            cut = tf.nest.map_structure(lambda value: value[start:stop], values)
            entries = tf.data.Dataset.from_tensor_slices(cut)
            return tf.data.Dataset.zip((dataset, entries)).map(function)

        return self._in_parts(zipped)

    def part(self, index: int, count: int) -> "Split":
        """Returns one of `count` parts of equal size, up to one: examples in a row.

        Raises:
            ValueError: There is no such part.
        """
        if not 0 <= index < count:
            raise ValueError(f"there is no part {index} of {count}")
        start, stop = (self.num_examples * place // count for place in (index, index + 1))
        if self.rows is None:
            dataset = self.dataset.skip(start).take(stop - start)
        else:
            dataset = self.rows(start, stop)
        return dataclasses.replace(
            self,
            dataset=dataset,
            num_examples=stop - start,
            presence=self.presence and {n: v[start:stop] for n, v in self.presence.items()},
            examples_per_epoch=None,
            rows=None,
        )

    def _in_parts(
        self, function: Callable[[tf.data.Dataset, int, int], tf.data.Dataset]
    ) -> "Split":
        """Applies a function of a data set and the places of its examples."""
        rows = self.rows
        return dataclasses.replace(
            self,
            dataset=function(self.dataset, 0, self.num_examples),
            rows=rows and (lambda start, stop: function(rows(start, stop), start, stop)),
        )

    def steps_per_epoch(self, batch_size: int) -> int:
        """Returns the number of batches of a training epoch."""
        return (self.examples_per_epoch or self.num_examples) // batch_size

    def where(self, members: np.ndarray) -> "Split":
        """Returns some of the examples, in the same order.

        Args:
            members: True for those to keep, `[num_examples]`.
        """
        flags = tf.data.Dataset.from_tensor_slices(np.asarray(members, bool))
        kept = tf.data.Dataset.zip((self.dataset, flags)).filter(lambda _, member: member)
        number = int(np.sum(members))
        # A filtered data set has no known size, and without a size Keras warns that data ran out.
        counted = tf.data.experimental.assert_cardinality(number)
        return dataclasses.replace(
            self,
            rows=None,
            dataset=kept.map(lambda example, _: example).apply(counted),
            num_examples=number,
            presence=self.presence and {n: v[members] for n, v in self.presence.items()},
        )

    def complete(self) -> "Split":
        """Returns the examples that have all modalities, as far as is known.

        Of a group they have some member.
        """
        parts = (self.presence or {}).values()
        there = [np.reshape(part, [self.num_examples, -1]).any(axis=1) for part in parts]
        whole = np.all(there, axis=0) if there else np.ones(self.num_examples, bool)
        return self if whole.all() else self.where(whole)

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
            self.map(keep_parts),
            randomize=self.randomize and randomize,
            presence=self.presence and keep(self.presence),
        )
