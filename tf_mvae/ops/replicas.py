"""Which rows of a whole batch a replica of `tf.distribute` has.

A batch is cut in the order of the replicas. Parts differ in size where a batch does not divide,
and a replica may have no row at all.
"""

import contextlib
import contextvars
from collections.abc import Iterator

import tensorflow as tf

__all__ = [
    "batch_mean",
    "equal_parts",
    "may_be_empty",
    "rows_before_and_in_all",
    "share_of_rows",
]

_EQUAL: contextvars.ContextVar[bool] = contextvars.ContextVar("equal", default=False)


@contextlib.contextmanager
def equal_parts() -> Iterator[None]:
    """Declares that all replicas have equally many rows, so that they need not count them."""
    token = _EQUAL.set(True)
    try:
        yield
    finally:
        _EQUAL.reset(token)


def may_be_empty() -> bool:
    """Whether this is a replica that may have no row."""
    return _replica() is not None and not _EQUAL.get()


def rows_before_and_in_all(rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns how many rows of a batch earlier replicas have, and how many all have; int64.

    Args:
        rows: How many this replica has, an integer.
    """
    rows = tf.cast(rows, tf.int64)
    replica = _replica()
    if replica is None:
        return tf.zeros([], tf.int64), rows
    own, number = replica.replica_id_in_sync_group, replica.num_replicas_in_sync
    if _EQUAL.get():
        return tf.cast(own, tf.int64) * rows, rows * number
    # Not integers: collectives on GPUs add up floats, which hold 2^24 rows exactly.
    mine = tf.one_hot(own, number) * tf.cast(rows, tf.float32)
    each = tf.cast(replica.all_reduce(tf.distribute.ReduceOp.SUM, mine), tf.int64)
    before = tf.reduce_sum(tf.where(tf.range(number) < own, each, 0))
    return before, tf.reduce_sum(each)


def batch_mean(values: tf.Tensor) -> tf.Tensor:
    """Returns the mean over a batch, as a replica's contribution to it.

    The mean over the replicas of what they get is the mean over the rows of the whole batch. A
    replica without a row gets 0.

    Args:
        values: One a row, `[batch]`.
    """
    if _replica() is None or _EQUAL.get():
        return tf.reduce_mean(values)
    return tf.reduce_sum(values) / share_of_rows(tf.shape(values)[0])


def share_of_rows(rows: tf.Tensor) -> tf.Tensor:
    """Returns for how many rows a `batch_mean` counts: the mean number of a replica's rows.

    Args:
        rows: How many this replica has, an integer.
    """
    replica = _replica()
    if replica is None or _EQUAL.get():
        return rows
    _, total = rows_before_and_in_all(rows)
    return tf.cast(total, tf.float32) / replica.num_replicas_in_sync


def _replica() -> tf.distribute.ReplicaContext | None:
    """Returns the context of a replica that is one of several, None otherwise."""
    replica = tf.distribute.get_replica_context()
    return replica if replica is not None and replica.num_replicas_in_sync > 1 else None
