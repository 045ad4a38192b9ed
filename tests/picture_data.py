"""Small prepared data sets of pictures."""

import pathlib

import numpy as np
import tensorflow_datasets as tfds

__all__ = ["prepare_pictures"]


def prepare_pictures(folder: pathlib.Path, splits: dict[str, int], mask: bool, channels: int = 3):
    """Writes a TFDS data set of coloured discs, 48 high and 40 wide; returns its directory.

    The masks hold 0 and 1.
    """
    features = {"image": tfds.features.Image(shape=(None, None, channels))}
    if mask:
        features["mask"] = tfds.features.Image(shape=(None, None, 1))
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:48, :40]

    def example():
        inside = (rows - rng.uniform(16, 32)) ** 2 + (columns - rng.uniform(12, 28)) ** 2 < 80
        colours = rng.integers(0, 256, [2, channels])
        image = np.where(inside[..., np.newaxis], *colours).astype(np.uint8)
        parts = {"image": image}
        return {**parts, "mask": inside[..., np.newaxis].astype(np.uint8)} if mask else parts

    tfds.dataset_builders.store_as_tfds_dataset(
        name="pictures",
        version="1.0.0",
        features=tfds.features.FeaturesDict(features),
        split_datasets={
            name: [(index, example()) for index in range(number)] for name, number in splits.items()
        },
        data_dir=folder,
        disable_shuffling=True,
    )
    return str(folder / "pictures" / "1.0.0")
