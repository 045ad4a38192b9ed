"""The rate of a large product of matrices, which benchmarks take for a processor's limit."""

import statistics
import time

import tensorflow as tf

__all__ = ["matmul_rate"]


def matmul_rate(size: int = 2048, repetitions: int = 5, dtype: tf.DType = tf.float32) -> float:
    """Returns how many operations a second a product of two matrices reaches.

    Args:
        size: Of the square matrices.
        repetitions: Of which the median counts, after one that does not.
        dtype: Of the matrices.
    """
    one, other = (
        tf.cast(tf.random.stateless_normal([size, size], [n, 0]), dtype) for n in range(2)
    )
    times = []
    for _ in range(repetitions + 1):
        begin = time.perf_counter()
        tf.matmul(one, other).numpy()
        times.append(time.perf_counter() - begin)
    return 2 * size**3 / statistics.median(times[1:])
