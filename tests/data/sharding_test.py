"""A process's part of every batch: each example once an epoch, whatever the processes."""

import numpy as np
import pytest
import tensorflow as tf

from tf_mvae.data.pipeline import Split, training_batches
from tf_mvae.data.sharding import shard_batches


def batches(**kwargs):
    examples = {"x": {"number": np.arange(50)}}
    split = Split(tf.data.Dataset.from_tensor_slices(examples), 50)
    return training_batches(split, batch_size=12, num_epochs=2, seed=3, **kwargs)


def numbers(dataset):
    return [batch["x"]["number"].numpy() for batch in dataset]


@pytest.mark.parametrize("parts", [(1, 1), (1, 1, 1), (2, 1), (2, 2, 2), (12,)])
def test_together_they_have_every_batch(parts):
    total, first, shards = sum(parts), 0, []
    for count in parts:
        shards.append(numbers(shard_batches(batches(), total, first, count)))
        first += count
    together = [np.concatenate(rows) for rows in zip(*shards, strict=True)]
    whole = numbers(batches())
    np.testing.assert_array_equal(together, whole)
    for epoch in (together[:4], together[4:]):  # 48 of 50: the last two make no batch
        assert len(set(np.concatenate(epoch))) == 48


def test_a_part_is_taken_up_where_it_was_left():
    rest = numbers(shard_batches(batches(first_epoch=1, skip_batches=2), 2, 1))
    np.testing.assert_array_equal(rest, numbers(shard_batches(batches(), 2, 1))[6:])


def test_parts_that_are_not_equal_are_refused():
    with pytest.raises(ValueError, match="12 examples .* 5 equal parts"):
        shard_batches(batches(), 5, 0)
    with pytest.raises(ValueError, match="None examples"):
        shard_batches(tf.data.Dataset.range(10).batch(5), 5, 0)
