"""Errors of the machine and of files are one line; other errors keep their traceback."""

import errno
import os

import pytest
import tensorflow as tf

from tf_mvae import failures
from tf_mvae.errors import UserError

NO_ROOM = os.strerror(errno.ENOSPC)
IN_PIPELINE = "{{function_node __wrapped__IteratorGetNext}} Invalid JPEG data [Op:IteratorGetNext]"
FAULTS = {
    "disk full": (OSError(errno.ENOSPC, NO_ROOM, "a/b"), "no space left on the disk (a/b: "),
    "disk full, told by TensorFlow": (
        tf.errors.ResourceExhaustedError(None, None, f"a/events; {NO_ROOM}"),
        "no space left on the disk (a/events: ",
    ),
    "unreadable": (PermissionError(errno.EACCES, "Permission denied", "a/b"), "a/b: Permission"),
    "unreadable, told by TensorFlow": (
        tf.errors.NotFoundError(None, None, "{{function_node x}} a/b; No such file or directory"),
        "a/b: No such file",
    ),
    "memory": (MemoryError(), "out of memory; lower --batch_size"),
    "memory of a device": (
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[9]"),
        "out of memory (OOM when allocating tensor with shape[9]); lower",
    ),
    "memory of XLA": (
        tf.errors.InternalError(None, None, "RESOURCE_EXHAUSTED: Out of memory while trying"),
        "out of memory (RESOURCE",
    ),
    "a corrupt record": (
        tf.errors.DataLossError(None, None, "{{function_node x}} corrupted record at 12 [Op:Y]"),
        "the data cannot be read: corrupted record at 12; prepare",
    ),
    "a corrupt picture": (
        tf.errors.InvalidArgumentError(None, None, IN_PIPELINE),
        "the data cannot be read: Invalid JPEG data; check",
    ),
}


@pytest.mark.parametrize(("error", "words"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_one_line_with_advice(error, words):
    with pytest.raises(UserError) as caught, failures.named("your run is kept"):
        raise error
    message = str(caught.value)
    assert message.startswith(words) and message.endswith("; your run is kept")
    assert "\n" not in message and caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        KeyError("x"),
        ValueError("x"),
        tf.errors.InvalidArgumentError(None, None, "Incompatible shapes: [2] vs. [3]"),
        tf.errors.FailedPreconditionError(None, None, "Variable is not initialized; sorry"),
    ],
)
def test_a_bug_stays_a_bug(error):
    assert failures.as_user_error(error) is None
    with pytest.raises(type(error)) as caught, failures.named():
        raise error
    assert caught.value is error


def test_a_users_mistake_stays_as_it_is():
    error = UserError("yours")
    with pytest.raises(UserError) as caught, failures.named("more"):
        raise error
    assert caught.value is error


def test_records_that_are_really_corrupt(tmp_path):
    """TensorFlow's own errors for a damaged and a missing file are converted."""
    path = str(tmp_path / "data.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        writer.write(b"x" * 100)
    data = bytearray(open(path, "rb").read())
    data[50] ^= 1
    open(path, "wb").write(data)
    with pytest.raises(UserError, match="^the data cannot be read: corrupted record at 12"):
        with failures.named():
            list(tf.data.TFRecordDataset(path))
    with pytest.raises(UserError, match=r"gone\.tfrecord: No such file or directory$"):
        with failures.named():
            list(tf.data.TFRecordDataset(str(tmp_path / "gone.tfrecord")))
    with pytest.raises(UserError, match="^the data cannot be read: Input is empty"):
        with failures.named():
            list(tf.data.Dataset.from_tensors(b"").map(tf.io.decode_jpeg))
