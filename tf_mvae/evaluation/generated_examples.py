"""Examples that a model generates given each subset of real ones, and the real ones."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_mvae.batch import unpack
from tf_mvae.data.pipeline import training_batches
from tf_mvae.errors import UserError
from tf_mvae.evaluation.outside_classes import OutsideClass
from tf_mvae.evaluation.run import Run
from tf_mvae.evaluation.settings import Settings
from tf_mvae.group import attribute_groups
from tf_mvae.modality import Modality
from tf_mvae.models import BaseVAE

__all__ = [
    "Examples",
    "Subset",
    "generate",
    "given_part",
    "real_examples",
    "reconstruct",
    "sample_prior",
    "subsets_of",
    "training_examples",
]

_STREAM = 44
_ALL_SUBSETS = 5  # of up to so many modalities, every subset
_A_SIZE = 3  # of more, so many subsets of each size
_MOST_MEMBERS = 5  # attributes that are given together


class Examples(NamedTuple):
    """Real examples, each with all modalities (of a group, one member at least).

    Attributes:
        x: Raw data by name, `[examples, ...]`; a class that is no modality as well.
        mask: Masks by name, `[examples]`, a group's `[examples, member]`.
    """

    x: dict[str, np.ndarray]
    mask: dict[str, np.ndarray]

    @property
    def number(self) -> int:
        """How many there are."""
        return len(next(iter(self.x.values())))

    def first(self, number: int) -> "Examples":
        """Returns the first so many."""
        return Examples(*({n: value[:number] for n, value in part.items()} for part in self))

    def prepared(self, modality: Modality) -> np.ndarray:
        """Returns what networks see of a modality, such as pixels in [0, 1]."""
        return modality.likelihood.prepare(tf.constant(self.x[modality.name])).numpy()


class Subset(NamedTuple):
    """What is given to a model.

    Attributes:
        names: The modalities.
        members: Of each group, so many random members; all where None.
    """

    names: tuple[str, ...]
    members: int | None = None

    def describe(self, groups: Sequence[str]) -> str:
        """Returns it in words, such as `image, 2 of attributes`.

        Args:
            groups: Names of the groups of which members are given.
        """
        some = f"{self.members} of " if self.members else ""
        return ", ".join(f"{some}{name}" if name in groups else name for name in self.names)


def subsets_of(model: BaseVAE, seed: int = 0) -> list[Subset]:
    """Returns the subsets that examples are generated from, in order of size.

    All but the empty one and that of everything for up to five modalities; of more, three random
    ones of each size. A group of attributes is given one to five members at a time, and whole.
    Only subsets that have the model's conditions are among them.

    Args:
        model: The model.
        seed: Of the random subsets.
    """
    names = [modality.name for modality in model.modalities]
    groups = {group.name: group.size for group in attribute_groups(model.modalities)}
    rng = np.random.default_rng([seed, _STREAM])
    found: list[Subset] = []
    for size in range(1, len(names)):
        if len(names) <= _ALL_SUBSETS:
            chosen = list(itertools.combinations(names, size))
        else:
            places = {tuple(sorted(rng.permutation(len(names))[:size])) for _ in range(_A_SIZE)}
            chosen = [tuple(names[place] for place in part) for part in sorted(places)]
        for part in chosen:
            if not set(model.conditions) <= set(part):
                continue
            smallest = min([groups[name] for name in part if name in groups], default=0)
            found += [Subset(part, m + 1) for m in range(min(_MOST_MEMBERS, smallest - 1))]
            found.append(Subset(part))
    return found


def real_examples(
    run: Run, settings: Settings, most: int, outside: OutsideClass | None = None
) -> Examples:
    """Returns the evaluated split's first examples that have all modalities.

    Args:
        run: The run.
        settings: How to evaluate.
        most: How many at most.
        outside: A class that is no modality; its values are then among the examples' parts.

    Raises:
        UserError: Fewer than ten have all.
    """
    batches = settings.batches(run)[0]
    if outside is not None:
        batches = outside.add_to_batches(batches, settings.split, settings.batch_size)
    return _whole(batches, run.model.modalities, most)


def training_examples(
    run: Run, most: int, seed: int, outside: OutsideClass | None = None
) -> Examples:
    """Returns random real examples of the training split that have all modalities.

    Args:
        run: The run.
        most: How many at most.
        seed: Which ones.
        outside: See `real_examples`.

    Raises:
        UserError: Fewer than ten have all.
    """
    names = [modality.name for modality in run.model.modalities]
    if outside is None:
        split = run.split("train").only(names)
    else:
        split = outside.add_to_split("train").only([*names, outside.name])
    size = min(100, split.num_examples)
    batches = training_batches(split, size, 1, seed, run.config.shuffle_buffer)
    return _whole(batches, run.model.modalities, most)


def generate(
    model: BaseVAE, examples: Examples, subset: Subset, settings: Settings
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Generates all modalities from a subset of each example, as the model does by default.

    Args:
        model: The model.
        examples: Real examples.
        subset: What is given of each.
        settings: `num_samples` of each example are generated, `batch_size` examples at a time.

    Returns:
        Expected values by name, `[examples * num_samples, ...]`, an example's side by side; and
        the masks of what was given, `[examples, ...]`.
    """
    groups = {g.name for g in attribute_groups(model.modalities)} & set(subset.names)
    mask = {name: examples.mask[name] for name in subset.names}
    if subset.members is not None:
        rng = np.random.default_rng([settings.seed, _STREAM])
        mask |= {name: _some_members(mask[name], subset.members, rng) for name in sorted(groups)}
    parts = []
    for place, rows in _rows(examples.number, settings.batch_size):
        given = given_part(model, examples, mask, rows)
        drawn = model.generate(given.x, settings.num_samples, given.mask, [settings.seed, place])
        parts.append({name: _by_example(value.numpy()) for name, value in drawn.items()})
    return _joined(parts), mask


def given_part(
    model: BaseVAE, examples: Examples, mask: Mapping[str, np.ndarray], rows: slice
) -> Examples:
    """Returns some examples with a mask of 0 for what is not given.

    All subsets then share one traced function. A model with conditions gets these alone.

    Args:
        model: The model.
        examples: Real examples.
        mask: Masks of what is given, `[examples, ...]` by name.
        rows: Which examples.
    """
    names = mask if model.conditions else [modality.name for modality in model.modalities]
    hidden = {name: np.zeros_like(examples.mask[name][rows]) for name in names if name not in mask}
    there = {name: mask[name][rows] for name in names if name in mask}
    return Examples({name: examples.x[name][rows] for name in names}, {**hidden, **there})


def sample_prior(model: BaseVAE, number: int, settings: Settings) -> dict[str, np.ndarray]:
    """Generates all modalities from nothing, as the model does by default; see `generate`.

    Args:
        model: The model.
        number: How many examples.
        settings: `batch_size` and `seed`.

    Returns:
        Expected values by name, `[number, ...]`.
    """
    parts = []
    for place, rows in _rows(number, settings.batch_size):
        drawn = model.sample(rows.stop - rows.start, seed=[settings.seed, place])
        parts.append({name: value.numpy() for name, value in drawn.items()})
    return _joined(parts)


def reconstruct(
    model: BaseVAE, examples: Examples, names: Sequence[str], settings: Settings
) -> dict[str, np.ndarray]:
    """Returns expected values at `z ~ q(z | all that an example has)`.

    Args:
        model: The model.
        examples: Real examples.
        names: The modalities that are wanted.
        settings: See `generate`.

    Returns:
        Arrays by name, `[examples * num_samples, ...]`, an example's side by side.
    """
    known = [modality.name for modality in model.modalities]
    parts = []
    for place, rows in _rows(examples.number, settings.batch_size):
        given, there = ({m: part[m][rows] for m in known} for part in examples)
        posterior = model.posterior(given, there)  # also of a model that draws z otherwise
        z = posterior.sample(settings.num_samples, seed=[settings.seed, place])
        drawn = model.from_latent(z, None, names, given)
        parts.append({name: _by_example(value.numpy()) for name, value in drawn.items()})
    return _joined(parts)


def _rows(number: int, batch_size: int) -> Iterator[tuple[int, slice]]:
    for place, start in enumerate(range(0, number, batch_size)):
        yield place, slice(start, min(start + batch_size, number))


def _by_example(drawn: np.ndarray) -> np.ndarray:
    """Puts samples `[num_samples, batch, ...]` side by side, `[batch * num_samples, ...]`."""
    return drawn.swapaxes(0, 1).reshape(-1, *drawn.shape[2:])


def _joined(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _some_members(mask: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Returns a mask of random members of each example that it has, `[examples, member]`."""
    order = np.where(mask > 0, rng.random(mask.shape), np.inf)
    chosen = np.argsort(order, axis=1)[:, :number]
    wanted = np.zeros_like(mask)
    np.put_along_axis(wanted, chosen, 1, axis=1)
    return wanted * mask


def _whole(batches: tf.data.Dataset, modalities: Sequence[Modality], most: int) -> Examples:
    """Collects examples with all modalities; what is no modality stays with its example."""
    names = {modality.name for modality in modalities}
    parts, masks, number = [], [], 0
    for batch in batches:
        more = {name: value for name, value in batch["x"].items() if name not in names}
        own = {name: value for name, value in batch["x"].items() if name in names}
        x, mask = unpack({**batch, "x": own}, modalities)
        present = [tf.reshape(mask[m.name], [-1, m.size]) for m in modalities]
        whole = np.all([np.any(part.numpy() > 0, axis=1) for part in present], axis=0)
        whole = np.flatnonzero(whole)[: most - number]
        x |= more
        mask |= {name: tf.ones(tf.shape(value)[:1]) for name, value in more.items()}
        parts.append({name: value.numpy()[whole] for name, value in x.items()})
        masks.append({name: value.numpy()[whole] for name, value in mask.items()})
        number += len(whole)
        if number >= most:
            break
    if number < 10:
        raise UserError(
            f"{number} examples have all modalities; generated ones are compared with ten at least"
        )
    return Examples(_joined(parts), _joined(masks))
