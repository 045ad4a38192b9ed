"""Pairs of examples of one class from two labelled data sets."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.data.pairing import RepeatedValues
from tf_mvae.data.pipeline import Split
from tf_mvae.data.prepared import image_and_label, prepared_builder
from tf_mvae.errors import UserError

__all__ = ["image_pairs", "match_classes", "pair_labels"]

_SPLITS = ("train", "validation", "test")


def match_classes(
    first: np.ndarray, second: np.ndarray, repeats: int, rng: np.random.Generator
) -> np.ndarray:
    """Pairs examples of equal class.

    Of each class as many examples of either set as the smaller one has are put into random
    orders and paired, `repeats` times: each is in `repeats` pairs. The pairs are then shuffled.

    After Shi, Siddharth, Paige and Torr, *Variational mixture-of-experts autoencoders for
    multi-modal deep generative models* (NeurIPS 2019), MNIST and SVHN.

    Args:
        first: Classes of the one set, integers `[examples]`.
        second: Those of the other.
        repeats: How often each example is paired.
        rng: The source of random numbers.

    Returns:
        Indices, `[pairs, 2]`.

    Raises:
        UserError: The sets have no class in common.
    """
    parts = [np.zeros([0, 2], int)]
    for value in np.intersect1d(first, second):
        members = [np.flatnonzero(labels == value) for labels in (first, second)]
        size = min(map(len, members))
        for _ in range(repeats):
            parts.append(np.stack([rng.permutation(rows[:size]) for rows in members], axis=1))
    pairs = np.concatenate(parts)
    if not len(pairs):
        raise UserError("the two data sets have no class in common; pairs need one")
    return rng.permutation(pairs)


def image_pairs(
    split: str,
    data_dir: str | None,
    sources: Mapping[str, tuple[str, Mapping[str, str]]],
    repeats: int = 1,
) -> Split:
    """Reads two data sets of images with labels, as pairs of one class.

    Both are held in memory. Pairs are fixed: they depend on the split and on `repeats`. In
    validation and test each example is paired once, since pairs that repeat images are not
    independent.

    Args:
        split: `train`, `validation` or `test`.
        data_dir: Where TFDS keeps both.
        sources: By modality, TFDS's name of the data set and its instructions by split.
        repeats: How often each training example is paired.

    Returns:
        Examples `{"x": {modality: uint8 [height, width, channels]}}`; `RepeatedValues` if
        examples are paired several times.

    Raises:
        UserError: A data set is missing, or there is no such split.
    """
    pairs, arrays = _pairs(split, data_dir, sources, repeats)
    images = {name: tf.constant(part["image"]) for name, part in arrays.items()}

    def gather(rows: tf.Tensor) -> dict[str, Any]:
        return {"x": {n: value[rows[place]] for place, (n, value) in enumerate(images.items())}}

    dataset = tf.data.Dataset.from_tensor_slices(pairs).map(gather)
    kind = Split if _repeats(split, repeats) == 1 else RepeatedValues
    return kind(dataset, len(pairs))


def pair_labels(
    split: str,
    data_dir: str | None,
    sources: Mapping[str, tuple[str, Mapping[str, str]]],
    repeats: int = 1,
) -> np.ndarray:
    """Returns the classes of `image_pairs`, int32 `[pairs]`; arguments as there."""
    pairs, arrays = _pairs(split, data_dir, sources, repeats)
    return next(iter(arrays.values()))["label"][pairs[:, 0]].astype(np.int32)


def _pairs(
    split: str,
    data_dir: str | None,
    sources: Mapping[str, tuple[str, Mapping[str, str]]],
    repeats: int,
) -> tuple[np.ndarray, dict[str, dict[str, np.ndarray]]]:
    """Returns indices `[pairs, 2]`, and images and labels by modality."""
    checks.one_of("split", split, sorted(_SPLITS))
    arrays = {}
    for name, (dataset, instructions) in sources.items():
        examples = image_and_label(prepared_builder(dataset, data_dir), instructions, split)
        batches = [batch["x"] for batch in examples.dataset.batch(1000).as_numpy_iterator()]
        arrays[name] = {p: np.concatenate([b[p] for b in batches]) for p in ("image", "label")}
    rng = np.random.default_rng([_SPLITS.index(split), 55])
    first, second = (part["label"] for part in arrays.values())
    return match_classes(first, second, _repeats(split, repeats), rng), arrays


def _repeats(split: str, training: int) -> int:
    """Returns how often an example of a split is paired, from how often a training example is."""
    return training if split == "train" else 1
