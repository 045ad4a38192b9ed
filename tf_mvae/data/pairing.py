"""Which examples keep which of their modalities: incomplete data made from complete ones.

Which modalities an example keeps depends only on the seed and on the place of the example, not on
the batch or the epoch. A label that is hidden once is hidden always, so examples that repeat each
other's values (`RepeatedValues`) are refused.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from tf_mvae.data.pipeline import Split
from tf_mvae.errors import UserError

__all__ = [
    "RepeatedValues",
    "both_masks",
    "class_labels",
    "keep_paired",
    "missing_at_random",
    "missing_by_label",
    "paired_masks",
    "with_masks",
]


@dataclasses.dataclass(frozen=True)
class RepeatedValues(Split):
    """Examples of which several have the same image.

    An image that is hidden in one of them is seen in others, so `with_masks` refuses them.
    """


def paired_masks(
    labels: np.ndarray,
    names: Sequence[str],
    fraction: float | None = None,
    examples: int | None = None,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Keeps some examples complete; each of the others keeps one modality.

    The complete ones are drawn at random, the same number from each class (all examples of a class
    that has fewer). The rest is cut into as many sets as there are modalities, of equal size up to
    one, again class by class. The complete examples of a smaller fraction are among those of a
    larger one.

    Args:
        labels: The examples' classes, `[examples]`.
        names: The modalities.
        fraction: Share of the examples that stay complete, 0 to 1; or
        examples: how many do.
        seed: The choice is a function of it.

    Returns:
        Masks by name, bool `[examples]`.

    Raises:
        UserError: Not one of `fraction` and `examples` is given, or it is out of range.

    Example:

    ```python
    masks = paired_masks(np.arange(1000) % 10, ["image", "label"], fraction=0.1)
    (masks["image"] & masks["label"]).sum()   # 100, ten of each class
    ```
    """
    labels = np.asarray(labels)
    number = _number_paired(len(labels), fraction, examples)
    rng = np.random.default_rng([seed, 31])
    rows = rng.permutation(len(labels))
    by_class = [rows[labels[rows] == value] for value in np.unique(labels)]
    shares = _even_shares([len(members) for members in by_class], number)
    whole = [members[:n] for members, n in zip(by_class, shares, strict=True)]
    # The rest is sorted by class and assigned in turn, so classes are balanced too.
    rest = np.concatenate([m[n:] for m, n in zip(by_class, shares, strict=True)])
    owner = np.arange(len(rest)) % len(names)
    masks = {}
    for place, name in enumerate(names):
        masks[name] = np.zeros(len(labels), bool)
        masks[name][np.concatenate([*whole, rest[owner == place]]).astype(int)] = True
    return masks


def missing_at_random(
    num_examples: int, rates: Mapping[str, float], seed: int = 0
) -> dict[str, np.ndarray]:
    """Hides each modality of each example with the modality's own probability.

    Args:
        num_examples: The number of examples.
        rates: By modality, the probability that an example does not have it, 0 to 1.
        seed: The choice is a function of it, the modality's name and the example's place.

    Returns:
        Masks by name, bool `[num_examples]`. An example may have lost everything; it then
        counts for nothing in training.

    Raises:
        UserError: A rate is out of range.
    """
    labels = np.zeros(num_examples, int)
    return missing_by_label(labels, {name: [rate] for name, rate in rates.items()}, seed)


def missing_by_label(
    labels: np.ndarray, rates: Mapping[str, Sequence[float]], seed: int = 0
) -> dict[str, np.ndarray]:
    """Drops modalities with probabilities that depend on the class: not at random.

    Args:
        labels: The examples' classes, integers `[examples]`.
        rates: By modality, for each class the probability that an example does not have it.
        seed: See `missing_at_random`.

    Returns:
        Masks by name, bool `[examples]`.

    Raises:
        UserError: A rate is out of range, or there are fewer rates than classes.
    """
    labels = np.asarray(labels)
    masks = {}
    for name, by_class in rates.items():
        rate = np.asarray(by_class, float)
        if not np.all((rate >= 0) & (rate <= 1)):
            raise UserError(f"the rate at which {name!r} is missing is 0 to 1, not {by_class}")
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(rate):
            raise UserError(
                f"{name!r} has {len(rate)} rates, and the classes run from {labels.min()} to "
                f"{labels.max()}: give one for each"
            )
        rng = np.random.default_rng([seed, 32, *name.encode()])
        masks[name] = rng.random(len(labels)) >= rate[labels]
    return masks


def with_masks(split: Split, masks: Mapping[str, np.ndarray]) -> Split:
    """Returns the same examples without the modalities that the masks hide.

    Hidden values are replaced, so that nothing can use them by mistake.

    Args:
        split: The examples, always in the same order.
        masks: By modality, 1 where the example keeps it, `[examples]`, and for a group
            `[examples, member]`; a modality that is not named is kept. What is
            missing already stays missing.

    Raises:
        UserError: A mask has another shape, or names no modality, or the examples are
            `RepeatedValues`.

    Example:

    ```python
    split = with_masks(split, missing_at_random(split.num_examples, {"label": 0.9}))
    ```
    """
    if isinstance(split, RepeatedValues):
        raise UserError(
            "every training image is in several pairs, so that an image that is hidden in one is "
            "seen in others: give --pairings=1 with --missing_rate, --paired_fraction and "
            "--paired_examples"
        )
    known = split.dataset.element_spec["x"]
    for name, mask in masks.items():
        if name not in known:
            raise UserError(f"a mask is given for {name!r}; the modalities are {sorted(known)}")
        fits = ((split.num_examples,), (split.num_examples, *known[name].shape[:1]))
        if np.shape(mask) not in fits:
            raise UserError(
                f"the mask of {name!r} has shape {np.shape(mask)}, and there are "
                f"{split.num_examples} examples of shape {list(known[name].shape)}"
            )
    ones = np.ones(split.num_examples, np.float32)
    full = {name: np.asarray(masks.get(name, ones), np.float32) for name in known}
    presence = both_masks(full, split.presence or {})

    def wipe(example, mask):
        mask = {
            n: m * tf.cast(example.get("mask", {}).get(n, 1.0), m.dtype) for n, m in mask.items()
        }
        x = {
            n: tf.where(_like(mask[n], v) > 0, v, tf.zeros_like(v)) for n, v in example["x"].items()
        }
        return {"x": x, "mask": mask}

    return dataclasses.replace(split.zip(full, wipe), presence=presence)


def both_masks(
    masks: Mapping[str, np.ndarray], others: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Returns the product of two sets of masks; the second may omit modalities.

    Of a group one of them may have `[examples]` and the other `[examples, member]`.
    """
    both = dict(masks)
    for name, other in others.items():
        rank = max(np.ndim(masks[name]), np.ndim(other))
        wide = [m.reshape(m.shape + (1,) * (rank - m.ndim)) for m in (masks[name], other)]
        both[name] = np.multiply(*wide)
    return both


def keep_paired(split: Split) -> Split:
    """Returns the examples that have every modality, of a split whose presence is known."""
    rows = split.num_examples
    presence = split.presence or {}
    whole = np.concatenate([v.reshape(rows, -1) for v in presence.values()], axis=1)
    return split.where(whole.min(axis=1) > 0)


def class_labels(split: Split, name: str = "label") -> np.ndarray:
    """Reads the classes of a split's examples, `[examples]`.

    Raises:
        UserError: The examples have no such part, or it is no class.
    """
    spec = split.dataset.element_spec["x"].get(name)
    if spec is None or not spec.dtype.is_integer or spec.shape.rank:
        raise UserError(
            f"pairing is balanced over the classes of {name!r}, and these examples have none"
        )
    batches: Iterable = split.dataset.map(lambda example: example["x"][name]).batch(1000)
    return np.concatenate([batch.numpy() for batch in batches])


def _like(mask: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """Gives a mask a value's rank."""
    return tf.reshape(mask, mask.shape + [1] * (value.shape.rank - mask.shape.rank))


def _number_paired(total: int, fraction: float | None, examples: int | None) -> int:
    if (fraction is None) == (examples is None):
        raise UserError("give one of the fraction and the number of paired examples")
    number = examples or 0
    if fraction is not None:
        if not 0 <= fraction <= 1:
            raise UserError(f"a paired fraction is 0 to 1, not {fraction}")
        number = math.floor(fraction * total + 0.5)
    if not 0 <= number <= total:
        raise UserError(f"{number} examples cannot stay paired of {total}")
    return number


def _even_shares(sizes: Sequence[int], number: int) -> list[int]:
    """Deals out `number` over classes as evenly as their sizes let it."""
    shares = [0] * len(sizes)
    left = number
    while left:
        open_classes = [i for i, size in enumerate(sizes) if shares[i] < size]
        each = max(1, left // len(open_classes))
        for i in open_classes:
            taken = min(each, sizes[i] - shares[i], left)
            shares[i] += taken
            left -= taken
    return shares
