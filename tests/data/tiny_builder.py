"""Prepared TFDS data sets of a few examples, as if TFDS had written them."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds


def write_dataset(
    path: pathlib.Path,
    features: tfds.features.FeaturesDict,
    splits: Mapping[str, Sequence[Any]],
    num_shards: int = 1,
) -> str:
    """Writes examples in order into `.../NAME/VERSION`, and returns it."""
    tfds.dataset_builders.store_as_tfds_dataset(
        name=path.parent.name,
        version=path.name,
        features=features,
        split_datasets={name: list(enumerate(examples)) for name, examples in splits.items()},
        data_dir=path.parents[1],
        download_config=tfds.download.DownloadConfig(num_shards=num_shards),
        disable_shuffling=True,
    )
    return str(path)


def write_numbers(directory: pathlib.Path, number: int, num_shards: int) -> str:
    """Writes the numbers below `number`, in order, in several files."""
    features = tfds.features.FeaturesDict({"number": tfds.features.Scalar(np.int64)})
    examples = [{"number": value} for value in range(number)]
    return write_dataset(directory / "numbers" / "1.0.0", features, {"train": examples}, num_shards)


def write_mnist(data_dir: pathlib.Path, sizes: Mapping[str, int]) -> None:
    """Writes images of a single grey level, 20 times one more than their label, as MNIST."""
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(28, 28, 1)),
            "label": tfds.features.ClassLabel(num_classes=10),
        }
    )

    def example(index):
        label = index % 10
        return {"image": np.full([28, 28, 1], 20 * (label + 1), np.uint8), "label": label}

    splits = {name: [example(i) for i in range(size)] for name, size in sizes.items()}
    write_dataset(data_dir / "mnist" / "3.0.1", features, splits)
