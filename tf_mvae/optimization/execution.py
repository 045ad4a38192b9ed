"""Several training steps as one program, for `steps_per_execution`."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import tensorflow as tf

__all__ = ["several_steps"]


def several_steps(
    step: Callable[[Any], Any], results: Callable[[], Any], size: int
) -> Callable[[Iterator[Any]], Any]:
    """Returns a function that trains on the next batches of an iterator, in one program of XLA's.

    Keras starts a program for every step and loops over them outside; to start one takes
    milliseconds where a model has hundreds of variables. Here the loop is part of the program.
    Batches are handed over together, so that twice as many are in memory at once.

    Args:
        step: Takes a step on a batch.
        results: Gives the metrics' results, once all steps have been taken.
        size: Steps at once; fewer where batches run out or change their shapes.

    Returns:
        What Keras calls a train function: of an iterator, `results()`. It raises `StopIteration`
        where there is no batch any more.
    """

    @tf.function(jit_compile=True, autograph=False, reduce_retracing=True)
    def run(batches, number):
        def body(index):
            step(tf.nest.map_structure(lambda values: values[index], batches))
            return (index + 1,)

        tf.while_loop(lambda index: index < number, body, [tf.constant(0)])
        return results()

    def train(iterator):
        batches = list(itertools.islice(iterator, size))
        if not batches:
            raise StopIteration
        for part in _of_one_shape(batches):
            padded = part + part[-1:] * (size - len(part))  # One program for any number.
            together = tf.nest.map_structure(lambda *values: tf.stack(values), *padded)
            last = run(together, tf.constant(len(part)))
        return last

    return train


def _of_one_shape(batches: Iterable[Any]) -> Iterator[list[Any]]:
    """Yields batches that follow one another and have the same shapes and types."""

    def shape(batch):
        return [(value.dtype, tuple(value.shape)) for value in tf.nest.flatten(batch)]

    for _, part in itertools.groupby(batches, shape):
        yield list(part)
