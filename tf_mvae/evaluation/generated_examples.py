"""Real examples, and those that a model generates given each subset of their modalities."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

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
_ALL_SUBSETS = 5  # up to this number of modalities all subsets are used
_A_SIZE = 3  # with more modalities, this number of random subsets per size
_MOST_MEMBERS = 5  # the largest number of attributes that are given together


class Examples(NamedTuple):
    """Real examples with all modalities observed (for a group: at least one member).

    Attributes:
        x: Raw data by name, `[examples, ...]`; may include a class that is not a modality.
        mask: Masks by name, `[examples]`, for a group `[examples, member]`.
    """

    x: dict[str, np.ndarray]
    mask: dict[str, np.ndarray]

    @property
    def number(self) -> int:
        """The number of examples."""
        return len(next(iter(self.x.values())))

    def first(self, number: int) -> "Examples":
        """Returns the first `number` examples."""
        return Examples(*({n: value[:number] for n, value in part.items()} for part in self))

    def prepared(self, modality: Modality) -> np.ndarray:
        """Returns a modality's prepared data, the inputs of networks, such as pixels in [0, 1]."""
        return modality.likelihood.prepare(tf.constant(self.x[modality.name])).numpy()


class Subset(NamedTuple):
    """A subset of the modalities, which a model generates the others from.

    Attributes:
        names: The given modalities.
        members: The number of random members that are given of each group; None: all.
    """

    names: tuple[str, ...]
    members: int | None = None

    def describe(self, groups: Sequence[str]) -> str:
        """Returns the subset in words, such as `image, 2 of attributes`.

        Args:
            groups: The names of groups.
        """
        some = f"{self.members} of " if self.members else ""
        return ", ".join(f"{some}{name}" if name in groups else name for name in self.names)


def subsets_of(model: BaseVAE, seed: int = 0) -> list[Subset]:
    """Returns the subsets that examples are generated from, in increasing order of size.

    For up to five modalities these are all subsets except the empty and the full one; for more,
    three random subsets per size. A subset with a group of attributes comes once with all members,
    and with one to five random members each. Subsets without the model's conditions are excluded.

    Args:
        model: The model.
        seed: The seed of random subsets.
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
    """Returns the first examples of the evaluated split that have all modalities.

    Args:
        run: The run.
        settings: The settings of the evaluation.
        most: The largest number of examples.
        outside: A class that is not a modality; its values are added to the examples' data.

    Raises:
        UserError: Fewer than ten examples have all modalities.
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
        most: The largest number of examples.
        seed: The seed of the random choice.
        outside: See `real_examples`.

    Raises:
        UserError: Fewer than ten examples have all modalities.
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
    model: BaseVAE,
    examples: Examples,
    subset: Subset,
    settings: Settings,
    way: Mapping[str, Any] | None = None,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Generates all modalities from a subset of each example, with the model's default settings.

    Args:
        model: The model.
        examples: Real examples.
        subset: The given modalities.
        settings: `num_samples` (per example), `batch_size` and `seed` are used.
        way: Further arguments of `model.generate`.

    Returns:
        Expected values by name, `[examples * num_samples, ...]`, with the samples of an example
        next to each other; and the masks of the given modalities, `[examples, ...]`.
    """
    groups = {g.name for g in attribute_groups(model.modalities)} & set(subset.names)
    mask = {name: examples.mask[name] for name in subset.names}
    if subset.members is not None:
        rng = np.random.default_rng([settings.seed, _STREAM])
        mask |= {name: _some_members(mask[name], subset.members, rng) for name in sorted(groups)}
    parts = []
    for place, rows in _rows(examples.number, settings.batch_size):
        given = given_part(model, examples, mask, rows)
        how = (settings.num_samples, given.mask, [settings.seed, place])
        drawn = model.generate(given.x, *how, **(way or {}))
        parts.append({name: _by_example(value.numpy()) for name, value in drawn.items()})
    return _joined(parts), mask


def given_part(
    model: BaseVAE, examples: Examples, mask: Mapping[str, np.ndarray], rows: slice
) -> Examples:
    """Returns some of the examples, with a mask of 0 for modalities that are not given.

    All subsets then share one traced function. For a model with conditions only the given
    modalities are returned.

    Args:
        model: The model.
        examples: Real examples.
        mask: Masks of the given modalities, `[examples, ...]` by name.
        rows: The examples to return.
    """
    names = mask if model.conditions else [modality.name for modality in model.modalities]
    hidden = {name: np.zeros_like(examples.mask[name][rows]) for name in names if name not in mask}
    there = {name: mask[name][rows] for name in names if name in mask}
    with_covariates = [*names, *(covariate.name for covariate in model.covariates)]
    x = {name: examples.x[name][rows] for name in with_covariates}
    return Examples(x, {**hidden, **there})


def sample_prior(
    model: BaseVAE, number: int, settings: Settings, way: Mapping[str, Any] | None = None
) -> dict[str, np.ndarray]:
    """Generates all modalities from the prior, with the model's default settings.

    Args:
        model: The model.
        number: The number of examples.
        settings: `batch_size` and `seed` are used.
        way: Further arguments of `model.sample`.

    Returns:
        Expected values by name, `[number, ...]`.
    """
    parts = []
    for place, rows in _rows(number, settings.batch_size):
        number_here, seed = rows.stop - rows.start, [settings.seed, place]
        drawn = model.sample(number_here, seed=seed, **(way or {}))
        parts.append({name: value.numpy() for name, value in drawn.items()})
    return _joined(parts)


def reconstruct(
    model: BaseVAE, examples: Examples, names: Sequence[str], settings: Settings
) -> dict[str, np.ndarray]:
    """Reconstructs examples: expected values at samples `z ~ q(z | all observed modalities)`.

    Args:
        model: The model.
        examples: Real examples.
        names: The modalities to reconstruct.
        settings: See `generate`.

    Returns:
        Arrays by name, `[examples * num_samples, ...]`, with the samples of an example next to each
        other.
    """
    known = [modality.name for modality in model.modalities]
    parts = []
    for place, rows in _rows(examples.number, settings.batch_size):
        given, there = ({m: part[m][rows] for m in known} for part in examples)
        posterior = model.posterior(given, there)  # even if a sampler would generate z
        z = posterior.sample(settings.num_samples, seed=[settings.seed, place])
        drawn = model.from_latent(z, None, names, given)
        parts.append({name: _by_example(value.numpy()) for name, value in drawn.items()})
    return _joined(parts)


def _rows(number: int, batch_size: int) -> Iterator[tuple[int, slice]]:
    """Yields the index and the rows of each batch."""
    for place, start in enumerate(range(0, number, batch_size)):
        yield place, slice(start, min(start + batch_size, number))


def _by_example(drawn: np.ndarray) -> np.ndarray:
    """Reshapes `[num_samples, batch, ...]` to `[batch * num_samples, ...]`, by example."""
    return drawn.swapaxes(0, 1).reshape(-1, *drawn.shape[2:])


def _joined(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _some_members(mask: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Returns a mask of `number` random observed members of each example, `[examples, member]`."""
    # Random numbers for observed members and infinity for missing ones, so that these come last.
    order = np.where(mask > 0, rng.random(mask.shape), np.inf)
    chosen = np.argsort(order, axis=1)[:, :number]
    wanted = np.zeros_like(mask)
    np.put_along_axis(wanted, chosen, 1, axis=1)
    return wanted * mask


def _whole(batches: tf.data.Dataset, modalities: Sequence[Modality], most: int) -> Examples:
    """Collects examples with all modalities, together with their other data."""
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
            f"{number} examples have all modalities, and at least ten are needed to compare "
            "generated examples with; evaluate another --split or more examples"
        )
    return Examples(_joined(parts), _joined(masks))
