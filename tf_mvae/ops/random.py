"""Random numbers that are the same in eager mode, in a graph and compiled by XLA.

TensorFlow's stateless functions depend on the compiler: for one seed, `tf.random.stateless_uniform`
and `stateless_normal` return other floating-point numbers under XLA, and for negative seeds, which
`tf.random.split` returns, other bits too. The numbers here are

    bits_i = mix(key(seed) + i * golden),   i = 1, 2, ...

with the finalizer `mix` of SplitMix64 (Steele, Lea and Flood, *Fast splittable pseudorandom number
generators*, OOPSLA 2014). These are integer operations on each number separately, with the same
result on every device.

A seed is two integers, an int32 tensor of shape `[2]`, as for TensorFlow's functions.
"""

import contextlib
import contextvars
import math
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf

from tf_mvae.ops.replicas import are_several, rows_before_and_in_all

__all__ = [
    "batch_normal",
    "batch_uniform",
    "common_numbers",
    "fold_in",
    "split",
    "stateless_normal",
    "stateless_uniform",
]

_NUM_BITS = 24  # a float32 represents integers of 24 bits exactly
_GOLDEN = 0x9E3779B97F4A7C15  # 2^64 / golden ratio, the counter's increment in SplitMix64
# Constants that make the streams of `fold_in` and `split` differ from each other and from numbers.
_FOLD_IN, _SPLIT = 0xD1B54A32D192ED03, 0x8CB92BA72F3D8DD7

# Whether all examples of a batch get the same numbers; a thread has its own.
_COMMON = contextvars.ContextVar("common_numbers", default=False)


def fold_in(seed: tf.Tensor, data: tf.Tensor | int) -> tf.Tensor:
    """Derives a seed from a seed and an integer, such as a step's number.

    Args:
        seed: Two integers.
        data: An integer.

    Returns:
        The new seed, int32 `[2]`.

    Example:
    ```python
    from tf_mvae.ops import random

    seed = tf.constant([0, 1])
    noise = [random.stateless_normal([3], random.fold_in(seed, step)) for step in range(2)]
    ```
    """
    data = tf.bitcast(tf.cast(data, tf.int64), tf.uint64)
    return tf.bitcast(_mix(_key(seed) ^ _mix(data + _uint64(_FOLD_IN))), tf.int32)


def split(seed: tf.Tensor, num: int = 2) -> tf.Tensor:
    """Derives several independent seeds from one, int32 `[num, 2]`.

    Args:
        seed: Two integers; do not use this seed for anything else.
        num: The number of seeds.
    """
    return tf.bitcast(_stream(_key(seed) ^ _uint64(_SPLIT), num), tf.int32)


def stateless_uniform(shape: tf.Tensor | Sequence[int], seed: tf.Tensor) -> tf.Tensor:
    """Samples uniform numbers in [0, 1), multiples of 2^-24.

    Args:
        shape: The shape of the result.
        seed: Two integers; the same seed gives the same numbers, bit by bit.

    Returns:
        A float32 tensor.

    Example:
    ```python
    from tf_mvae.ops import random

    numbers = random.stateless_uniform([2, 3], tf.constant([0, 1]))
    compiled = tf.function(random.stateless_uniform, jit_compile=True)
    same = tf.reduce_all(compiled([2, 3], tf.constant([0, 1])) == numbers)  # True
    ```
    """
    return _uniform(_bits(shape, seed))


def stateless_normal(shape: tf.Tensor | Sequence[int], seed: tf.Tensor) -> tf.Tensor:
    """Samples standard normal numbers, `sqrt(-2 log u) cos(2 pi v)` (Box and Muller, 1958).

    Args:
        shape: The shape of the result.
        seed: Two integers; the same seed gives the same numbers, except for the rounding of the
            logarithm and the cosine.

    Returns:
        A float32 tensor with absolute values up to `sqrt(48 log 2)`, about 5.8.
    """
    return _normal(_bits(shape, seed))


def batch_normal(shape: tf.Tensor | Sequence[int], seed: tf.Tensor) -> tf.Tensor:
    """Samples standard normal numbers for the examples of a batch, independent of replicas.

    Under a `tf.distribute` strategy each replica has a part of the batch, in the order of the
    replicas. It gets the numbers that a single replica would sample for these examples. Without a
    strategy this is `stateless_normal`.

    Args:
        shape: The shape of the result, `[..., batch, size]`; replicas may differ in `batch`.
        seed: Two integers, the same on every replica.
    """
    return _of_batch(_normal, shape, seed)


def batch_uniform(shape: tf.Tensor | Sequence[int], seed: tf.Tensor) -> tf.Tensor:
    """Samples uniform numbers in [0, 1) for the examples of a batch.

    Args:
        shape: See `batch_normal`.
        seed: See `batch_normal`.
    """
    return _of_batch(_uniform, shape, seed)


@contextlib.contextmanager
def common_numbers() -> Iterator[None]:
    """Within it `batch_normal` and `batch_uniform` give all examples of a batch the same numbers.

    An average over an example's samples then depends on this example alone: not on its place in
    the batch, nor on what else is there. Averages of different examples have dependent errors, so
    it is for estimates of each example, not for samples of several.

    Example:
    ```python
    from tf_mvae.ops import random

    with random.common_numbers():
        noise = random.batch_normal([16, 100, 8], [0, 1])  # noise[:, 0] equals noise[:, 99]
    ```
    """
    token = _COMMON.set(True)
    try:
        yield
    finally:
        _COMMON.reset(token)


def _of_batch(
    numbers: Callable[[tf.Tensor], tf.Tensor], shape: tf.Tensor | Sequence[int], seed: tf.Tensor
) -> tf.Tensor:
    """Returns numbers made of bits, `[..., batch, size]`; see `batch_normal`."""
    if not _COMMON.get():
        return numbers(_batch_bits(shape, seed))
    shape = tf.cast(shape, tf.int32)
    once = tf.concat([shape[:-2], [1], shape[-1:]], axis=0)
    return tf.broadcast_to(numbers(_bits(once, seed)), shape)


def _batch_bits(shape: tf.Tensor | Sequence[int], seed: tf.Tensor) -> tf.Tensor:
    """Returns the bits of a batch's numbers; on a replica, those of its part of the batch."""
    if not are_several():
        return _bits(shape, seed)
    shape = tf.cast(shape, tf.int64)
    rows, size = shape[-2], shape[-1]
    lead = tf.range(tf.reduce_prod(shape[:-2]))[:, tf.newaxis]
    first, total = rows_before_and_in_all(rows)
    # The rows of this replica in the array of the complete batch, [lead, row], and the counters of
    # their numbers, [lead, row, size].
    row = lead * total + first + tf.range(rows)
    count = row[:, :, tf.newaxis] * size + tf.range(size) + 1
    return tf.reshape(_at(_key(seed), tf.cast(count, tf.uint64)), shape)


def _normal(bits: tf.Tensor) -> tf.Tensor:
    """Returns standard normal numbers, of two uniform ones from the upper and the next 24 bits."""
    u, v = 1.0 - _uniform(bits), _uniform(tf.bitwise.left_shift(bits, _uint64(_NUM_BITS)))
    return tf.sqrt(-2.0 * tf.math.log(u)) * tf.cos(2.0 * math.pi * v)


def _uint64(number: int) -> tf.Tensor:
    return tf.constant(number, tf.uint64)


def _mix(bits: tf.Tensor) -> tf.Tensor:
    """Mixes 64 bits so that each bit of the result depends on all given ones (SplitMix64)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits = (bits ^ tf.bitwise.right_shift(bits, _uint64(shift))) * _uint64(factor)
    return bits ^ tf.bitwise.right_shift(bits, _uint64(31))


def _key(seed: tf.Tensor) -> tf.Tensor:
    """Returns the 64 bits at which a seed's stream begins."""
    halves = tf.cast(tf.bitcast(tf.cast(seed, tf.int32), tf.uint32), tf.uint64)
    whole = tf.bitwise.left_shift(halves[0], _uint64(32)) | halves[1]
    return _mix(whole + _uint64(_GOLDEN))


def _stream(key: tf.Tensor, number: tf.Tensor | int) -> tf.Tensor:
    """Returns the first numbers of a stream, uint64 `[number]`."""
    return _at(key, tf.cast(tf.range(1, number + 1), tf.uint64))


def _at(key: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Returns the bits at the given positions of a stream; the first position is 1."""
    return _mix(key + count * _uint64(_GOLDEN))


def _bits(shape: tf.Tensor | Sequence[int], seed: tf.Tensor) -> tf.Tensor:
    """Returns the first bits of a seed's stream, uint64 of a shape."""
    shape = tf.cast(shape, tf.int32)
    return tf.reshape(_stream(_key(seed), tf.reduce_prod(shape)), shape)


def _uniform(bits: tf.Tensor) -> tf.Tensor:
    """Returns the highest 24 bits as a number in [0, 1)."""
    high = tf.bitwise.right_shift(bits, _uint64(64 - _NUM_BITS))
    return tf.cast(tf.cast(high, tf.int32), tf.float32) * 2.0**-_NUM_BITS
