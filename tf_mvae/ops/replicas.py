"""The rows of a batch that a replica of `tf.distribute` has.

A batch is divided among replicas in their order. If the batch size is not a multiple of their
number, parts differ in size, and a replica may have no row.
"""

import contextlib
import contextvars
from collections.abc import Iterator

import tensorflow as tf

__all__ = [
    "are_several",
    "batch_mean",
    "equal_parts",
    "may_be_empty",
    "rows_before_and_in_all",
    "share_of_rows",
    "sum_over_replicas",
]

_EQUAL: contextvars.ContextVar[bool] = contextvars.ContextVar("equal", default=False)


@contextlib.contextmanager
def equal_parts() -> Iterator[None]:
    """Declares that all replicas have equally many rows; they then skip counting them."""
    token = _EQUAL.set(True)
    try:
        yield
    finally:
        _EQUAL.reset(token)


def are_several() -> bool:
    """Returns whether this code runs on one of several replicas."""
    return _replica() is not None


def may_be_empty() -> bool:
    """Returns whether this code runs on a replica that may have no row."""
    return _replica() is not None and not _EQUAL.get()


def rows_before_and_in_all(rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the numbers of rows of all earlier replicas, and of all replicas; int64 scalars.

    Args:
        rows: The number of rows of this replica, an integer.
    """
    rows = tf.cast(rows, tf.int64)
    replica = _replica()
    if replica is None:
        return tf.zeros([], tf.int64), rows
    own, number = replica.replica_id_in_sync_group, replica.num_replicas_in_sync
    if _EQUAL.get():
        return tf.cast(own, tf.int64) * rows, rows * number
    # As floats, because collectives on GPUs add floats; these are exact up to 2^24 rows.
    mine = tf.one_hot(own, number) * tf.cast(rows, tf.float32)
    each = tf.cast(replica.all_reduce(tf.distribute.ReduceOp.SUM, mine), tf.int64)
    before = tf.reduce_sum(tf.where(tf.range(number) < own, each, 0))
    return before, tf.reduce_sum(each)


def batch_mean(values: tf.Tensor) -> tf.Tensor:
    """Returns a replica's contribution to the mean over a batch.

    The mean of the contributions over replicas is the mean over all rows of the batch. The
    contribution of a replica without a row is 0.

    Args:
        values: One value per row of this replica, `[batch]`.
    """
    if _replica() is None or _EQUAL.get():
        return tf.reduce_mean(values)
    return tf.reduce_sum(values) / share_of_rows(tf.shape(values)[0])


def share_of_rows(rows: tf.Tensor) -> tf.Tensor:
    """Returns the number that `batch_mean` divides by: the mean number of rows per replica.

    Args:
        rows: The number of rows of this replica, an integer.
    """
    replica = _replica()
    if replica is None or _EQUAL.get():
        return rows
    _, total = rows_before_and_in_all(rows)
    return tf.cast(total, tf.float32) / replica.num_replicas_in_sync


def sum_over_replicas(value: tf.Tensor) -> tf.Tensor:
    """Returns the sum over replicas, which XLA cannot compile; the value itself if there is one."""
    replica = _replica()
    return value if replica is None else replica.all_reduce(tf.distribute.ReduceOp.SUM, value)


def _replica() -> tf.distribute.ReplicaContext | None:
    """Returns the replica's context if there are several replicas, None otherwise."""
    replica = tf.distribute.get_replica_context()
    return replica if replica is not None and replica.num_replicas_in_sync > 1 else None
