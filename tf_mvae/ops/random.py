"""Random numbers that are the same in eager mode, in a graph and compiled by XLA.

TensorFlow's stateless functions are not: from one seed, `tf.random.stateless_uniform` and
`stateless_normal` make other floating numbers under XLA than outside it, and for negative
seeds, which `tf.random.split` returns, other bits as well. These are a counter's values,
each put through the finalizer of SplitMix64 (Steele, Lea and Flood, *Fast splittable
pseudorandom number generators*, OOPSLA 2014): integer operations on every number by
itself, which every device does alike.

A seed is two integers, an int32 tensor of shape `[2]`, as for TensorFlow's own.
"""

import math
from collections.abc import Sequence

import tensorflow as tf

from tf_mvae.ops.replicas import rows_before_and_in_all

__all__ = [
    "batch_normal",
    "batch_uniform",
    "fold_in",
    "split",
    "stateless_normal",
    "stateless_uniform",
]

_NUM_BITS = 24  # as many as a float32 holds exactly
_GOLDEN = 0x9E3779B97F4A7C15
# Streams of numbers, of `fold_in` and of `split` begin at different places.
_FOLD_IN, _SPLIT = 0xD1B54A32D192ED03, 0x8CB92BA72F3D8DD7


def fold_in(seed: tf.Tensor, data: tf.Tensor | int) -> tf.Tensor:
    """Returns a seed of its own for an integer, such as a step's number.

    Args:
        seed: Two integers.
        data: An integer.
    """
    data = tf.bitcast(tf.cast(data, tf.int64), tf.uint64)
    return tf.bitcast(_mix(_key(seed) ^ _mix(data + _uint64(_FOLD_IN))), tf.int32)


def split(seed: tf.Tensor, num: int = 2) -> tf.Tensor:
    """Returns seeds that have nothing to do with each other, int32 `[num, 2]`.

    Args:
        seed: Two integers; use it for nothing else.
        num: How many.
    """
    return tf.bitcast(_stream(_key(seed) ^ _uint64(_SPLIT), num), tf.int32)


def stateless_uniform(shape: tf.Tensor | Sequence[int], seed: tf.Tensor) -> tf.Tensor:
    """Draws uniform numbers in [0, 1), multiples of 2^-24.

    Args:
        shape: Shape of the result.
        seed: Two integers; the same ones give the same numbers, to the bit.

    Returns:
        A float32 tensor.
    """
    return _uniform(_bits(shape, seed))


def stateless_normal(shape: tf.Tensor | Sequence[int], seed: tf.Tensor) -> tf.Tensor:
    """Draws standard normal numbers, `sqrt(-2 log u) cos(2 pi v)` (Box and Muller, 1958).

    Args:
        shape: Shape of the result.
        seed: Two integers; the same ones give the same numbers, but for the rounding of
            the logarithm and the cosine.

    Returns:
        A float32 tensor; no number is beyond 5.8, `sqrt(48 log 2)`.
    """
    return _normal(_bits(shape, seed))


def batch_normal(shape: tf.Tensor | Sequence[int], seed: tf.Tensor) -> tf.Tensor:
    """Draws standard normal numbers for a batch's examples, `stateless_normal` where alone.

    Under a strategy of `tf.distribute` a replica has a part of a batch, in the order of the
    replicas; it gets that part of the numbers that one replica would draw for all of it.

    Args:
        shape: Shape of the result, `[..., batch, size]`; replicas may differ in `batch`.
        seed: Two integers, the same on every replica.
    """
    return _normal(_batch_bits(shape, seed))


def batch_uniform(shape: tf.Tensor | Sequence[int], seed: tf.Tensor) -> tf.Tensor:
    """Draws uniform numbers in [0, 1) for a batch's examples; see `batch_normal`."""
    return _uniform(_batch_bits(shape, seed))


def _batch_bits(shape: tf.Tensor | Sequence[int], seed: tf.Tensor) -> tf.Tensor:
    """Returns the bits of a whole batch's numbers, a replica's part of them on a replica."""
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return _bits(shape, seed)
    shape = tf.cast(shape, tf.int64)
    rows, size = shape[-2], shape[-1]
    lead = tf.range(tf.reduce_prod(shape[:-2]))[:, tf.newaxis]
    first, total = rows_before_and_in_all(rows)
    row = lead * total + first + tf.range(rows)
    count = row[:, :, tf.newaxis] * size + tf.range(size) + 1
    return tf.reshape(_at(_key(seed), tf.cast(count, tf.uint64)), shape)


def _normal(bits: tf.Tensor) -> tf.Tensor:
    u, v = 1.0 - _uniform(bits), _uniform(tf.bitwise.left_shift(bits, _uint64(_NUM_BITS)))
    return tf.sqrt(-2.0 * tf.math.log(u)) * tf.cos(2.0 * math.pi * v)


def _uint64(number: int) -> tf.Tensor:
    return tf.constant(number, tf.uint64)


def _mix(bits: tf.Tensor) -> tf.Tensor:
    """Returns 64 bits, each of which depends on every bit given."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits = (bits ^ tf.bitwise.right_shift(bits, _uint64(shift))) * _uint64(factor)
    return bits ^ tf.bitwise.right_shift(bits, _uint64(31))


def _key(seed: tf.Tensor) -> tf.Tensor:
    """Returns where a seed's stream begins."""
    halves = tf.cast(tf.bitcast(tf.cast(seed, tf.int32), tf.uint32), tf.uint64)
    whole = tf.bitwise.left_shift(halves[0], _uint64(32)) | halves[1]
    return _mix(whole + _uint64(_GOLDEN))


def _stream(key: tf.Tensor, number: tf.Tensor | int) -> tf.Tensor:
    return _at(key, tf.cast(tf.range(1, number + 1), tf.uint64))


def _at(key: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Returns the bits at places of a stream, which begins with 1."""
    return _mix(key + count * _uint64(_GOLDEN))


def _bits(shape: tf.Tensor | Sequence[int], seed: tf.Tensor) -> tf.Tensor:
    shape = tf.cast(shape, tf.int32)
    return tf.reshape(_stream(_key(seed), tf.reduce_prod(shape)), shape)


def _uniform(bits: tf.Tensor) -> tf.Tensor:
    """Returns the highest bits as numbers in [0, 1)."""
    high = tf.bitwise.right_shift(bits, _uint64(64 - _NUM_BITS))
    return tf.cast(tf.cast(high, tf.int32), tf.float32) * 2.0**-_NUM_BITS
