"""The part of a batch of each process: every example is used once per epoch."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tests.data.tiny_builder import write_numbers
from tf_mvae.data.pairing import with_masks
from tf_mvae.data.pipeline import Split, training_batches
from tf_mvae.data.prepared import directory_builder, read
from tf_mvae.data.sharding import Part, shard_batches
from tf_mvae.data.split import Split as SplitItself
from tf_mvae.errors import UserError


def make_split():
    return Split(tf.data.Dataset.from_tensor_slices({"x": {"number": np.arange(50)}}), 50)


def batches(split=None, **kwargs):
    split = make_split() if split is None else split
    return training_batches(split, batch_size=12, num_epochs=2, seed=3, **kwargs)


def numbers(dataset):
    return [batch["x"]["number"].numpy() for batch in dataset]


def parts_of(sizes):
    return [Part(sum(sizes[:place]), count, sum(sizes)) for place, count in enumerate(sizes)]


@pytest.mark.parametrize("streams", [1, 6])
@pytest.mark.parametrize("sizes", [(1, 1), (1, 1, 1), (2, 1), (2, 2, 2)])
def test_together_they_have_every_batch(sizes, streams):
    shards = [numbers(batches(part=part, streams=streams)) for part in parts_of(sizes)]
    together = [np.concatenate(rows) for rows in zip(*shards, strict=True)]
    whole = numbers(batches(streams=streams))
    np.testing.assert_array_equal(together, whole)
    for epoch in (together[:4], together[4:]):  # 48 of 50: the last two make no batch
        assert len(set(np.concatenate(epoch))) == 48


@pytest.mark.parametrize("streams", [1, 4])
def test_a_part_is_taken_up_where_it_was_left(streams):
    kwargs = {"part": Part(1, 1, 2), "streams": streams}
    rest = numbers(batches(first_epoch=1, skip_batches=2, **kwargs))
    np.testing.assert_array_equal(rest, numbers(batches(**kwargs))[6:])


def test_a_stream_has_its_own_examples_and_rows():
    for batch in numbers(batches(streams=3)):
        stream = np.searchsorted([16, 33], batch, side="right")
        np.testing.assert_array_equal(stream, np.repeat([0, 1, 2], 4))
    first, second = np.split(np.stack(numbers(batches(streams=3))), 2)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    ("streams", "part", "message"),
    [
        (5, Part(), "has to divide --batch_size=12"),
        (2, Part(0, 1, 4), "multiple of the number of replicas, 4"),
        (24, Part(), "more than --batch_size: 12"),
    ],
)
def test_streams_that_do_not_fit_are_refused(streams, part, message):
    with pytest.raises(UserError, match=message):
        batches(streams=streams, part=part)


def test_parts_that_are_not_equal_are_refused():
    with pytest.raises(ValueError, match="12 examples .* 5 equal parts"):
        batches(part=Part(0, 1, 5))
    with pytest.raises(ValueError, match="None examples"):
        shard_batches(tf.data.Dataset.range(10).batch(5), Part(0, 1, 5))


def test_parts_of_a_split_follow_its_maps_and_masks():
    split = make_split().map(lambda e: {"x": {"number": e["x"]["number"] * 2}})
    mask = np.arange(50) % 3 > 0
    split = with_masks(split, {"number": mask})
    for index in range(4):
        part = split.part(index, 4)
        start, stop = 50 * index // 4, 50 * (index + 1) // 4
        assert part.num_examples == stop - start
        rows = list(part.dataset)
        np.testing.assert_array_equal(
            [row["x"]["number"] for row in rows], (2 * np.arange(50) * mask)[start:stop]
        )
        np.testing.assert_array_equal([row["mask"]["number"] for row in rows], mask[start:stop])
        np.testing.assert_array_equal(part.presence["number"], mask[start:stop])
    with pytest.raises(ValueError, match="no part 4 of 4"):
        split.part(4, 4)


@pytest.mark.parametrize("instruction", ["train", "train[10:50]", "train[:30]+train[35:]"])
def test_a_part_of_a_data_set_is_read_from_its_own_files(tmp_path, monkeypatch, instruction):
    builder = directory_builder(write_numbers(tmp_path, 60, num_shards=6))
    read_files = []
    as_dataset = type(builder).as_dataset

    def noted(self, split, **kwargs):
        if not isinstance(split, str):
            read_files.extend(
                place.filename for place in builder.info.splits[split].file_instructions
            )
        return as_dataset(self, split=split, **kwargs)

    monkeypatch.setattr(type(builder), "as_dataset", noted)
    split = read(builder, {"train": instruction}, "train").map(
        lambda e: {"x": {"number": e["number"]}}
    )
    assert isinstance(split, SplitItself)
    whole = [int(e["x"]["number"]) for e in split.dataset]
    parts = [split.part(index, 5) for index in range(5)]
    assert [int(e["x"]["number"]) for part in parts for e in part.dataset] == whole
    assert len(whole) == {"train": 60, "train[10:50]": 40}.get(instruction, 55)
    if "+" not in instruction:
        read_files.clear()
        split.part(0, 5)
        assert 1 <= len(set(read_files)) <= 2  # of six


def test_examples_are_read_anew_where_they_do_not_fit_into_memory():
    reads = tf.Variable(0, dtype=tf.int64)

    def counted(example):
        reads.assign_add(1)
        return example

    def count(**kwargs):
        reads.assign(0)
        found = numbers(batches(make_split().map(counted), **kwargs))
        return int(reads), found

    kept, first = count()
    anew, second = count(cache_bytes=50 * 8 - 1)
    np.testing.assert_array_equal(first, second)
    assert make_split().num_bytes == 50 * 8
    assert (kept, anew) == (50, 100)
    assert Split(tf.data.Dataset.from_tensors(tf.constant("a")), 1).num_bytes is None


def test_tfds_reads_what_it_should(tmp_path):
    """TFDS reads the tiny data set, in the order that the other tests assume."""
    builder = tfds.builder_from_directory(write_numbers(tmp_path, 10, num_shards=2))
    assert builder.info.splits["train"].num_examples == 10
    assert len(builder.info.splits["train"].filenames) == 2
