"""A prepared TFDS data set of a few numbers, in several files."""

import pathlib

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds


def write_numbers(directory: pathlib.Path, number: int, num_shards: int) -> str:
    """Writes the numbers below `number`, in order, and returns the data set's directory."""
    features = tfds.features.FeaturesDict({"number": tfds.features.Scalar(np.int64)})
    cuts = np.linspace(0, number, num_shards + 1).astype(int)
    path = directory / "numbers" / "1.0.0"
    path.mkdir(parents=True)
    template = tfds.core.ShardedFileTemplate(
        data_dir=path, dataset_name="numbers", split="train", filetype_suffix="tfrecord"
    )
    for index in range(num_shards):
        name = template.sharded_filepath(shard_index=index, num_shards=num_shards)
        with tf.io.TFRecordWriter(str(name)) as writer:
            for value in range(cuts[index], cuts[index + 1]):
                writer.write(features.serialize_example({"number": value}))
    split = tfds.core.SplitInfo(
        name="train",
        shard_lengths=np.diff(cuts).tolist(),
        num_bytes=0,
        filename_template=template,
    )
    tfds.folder_dataset.write_metadata(
        data_dir=path, features=features, split_infos=[split], filename_template=template
    )
    return str(path)
