"""Writes what a constant answer scores on the attributes of a data set, for runs without it.

`python results/attribute_frequencies.py --dataset_dir=DIR` adds the data set's test split to
results/attribute_frequencies.json: for each attribute the accuracy of its more frequent value.
Newer evaluations contain it themselves (`frequent`).
"""

import argparse
import json
import pathlib

import numpy as np
import tensorflow_datasets as tfds

from tf_mvae.training.places import data_name

FILE = pathlib.Path(__file__).with_name("attribute_frequencies.json")


def frequencies(examples: list[dict[str, bool]]) -> dict[str, float]:
    """Returns the fraction of the more frequent value of each attribute, and their mean."""
    found = {}
    for name in examples[0]:
        positive = np.mean([bool(example[name]) for example in examples])
        found[name] = float(max(positive, 1 - positive))
    return found | {"mean": float(np.mean(list(found.values())))}


def main() -> None:
    """Adds the data set that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset_dir", required=True)
    place = parser.parse_args().dataset_dir
    split = tfds.builder_from_directory(place).as_dataset(split="test")
    examples = [example["attributes"] for example in tfds.as_numpy(split)]
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    FILE.write_text(json.dumps(known | {data_name(place): frequencies(examples)}, indent=1) + "\n")


if __name__ == "__main__":
    main()
