"""Hides modalities of a run's training data, as its configuration says."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tf_mvae import checks
from tf_mvae.data import pairing, strata
from tf_mvae.data.pipeline import Split
from tf_mvae.errors import UserError
from tf_mvae.experiments import registry
from tf_mvae.settings import Setting
from tf_mvae.training.config import RunConfig
from tf_mvae.training.parts import make_covariates, modality_names, model_class
from tf_mvae.training.splits import load_split, outside_labels

__all__ = ["SETTINGS", "batch_composition", "incomplete_split", "mask_of_batch"]

SETTINGS = (
    Setting(
        "paired_fraction",
        None,
        "Fraction of the training examples that stay complete; each of the others keeps "
        "one modality, the same one in every epoch. If omitted, all stay complete.",
        checks.fraction,
        kind=float,
    ),
    Setting(
        "paired_examples",
        None,
        "The same as --paired_fraction, as a number of examples.",
        checks.non_negative_integer,
        kind=int,
        excludes="paired_fraction",
    ),
    Setting(
        "paired_share",
        None,
        "Fraction of complete examples in each batch; they are then repeated more often "
        "than others. If omitted, their fraction of the data.",
        checks.fraction,
        kind=float,
    ),
    Setting(
        "missing_rate",
        {},
        "Fractions of the training examples in which a modality is hidden at random: label=0.9.",
        checks.fraction,
    ),
    Setting(
        "missing_by_class",
        False,
        "Whether --missing_rate is an average over classes: a modality's rate rises linearly from "
        "0 for the first class to twice the average for the last, and falls in every second "
        "modality that is named.",
    ),
    Setting(
        "drop_incomplete",
        False,
        "Whether training omits examples with a missing modality, for models that need "
        "complete ones. The number of steps of an epoch does not change.",
    ),
)


def incomplete_split(config: RunConfig, name: str, refuse: bool = True) -> Split:
    """Returns the examples of `train` or `validation` with masks that hide modalities.

    Which examples stay complete depends only on the seed and the split, so runs of different models
    have the same data. Modalities that are missing in the data set itself are treated like hidden
    ones.

    Args:
        config: The run's configuration.
        name: `train` or `validation`.
        refuse: Whether to raise errors for data that the run cannot be trained with. Otherwise a
            model that needs complete examples gets only these.

    Raises:
        UserError: The data are missing, no example is left, or the model cannot learn from
            incomplete examples and `drop_incomplete` is not set.
    """
    if config.missing_by_class and not config.missing_rate:
        raise UserError("--missing_by_class is for --missing_rate: give the modalities' rates")
    if _takes_away(config):
        split = load_split(config, name, lambda split: _masks(config, split, name))
    else:
        split = load_split(config, name)
        if not _lacks(split):
            if name == "train" and refuse:
                _refuse_without_use(config)
            return split
    whole = split.num_examples
    complete = pairing.keep_paired(split)
    if refuse and name == "train" and config.paired_share and not complete.num_examples:
        raise UserError(
            f"--paired_share={config.paired_share:g} needs complete examples, and no example of "
            f"split {name!r} is complete; remove the flag"
        )
    if config.drop_incomplete:
        if refuse and not complete.num_examples:
            raise UserError(
                f"--drop_incomplete excludes all of split {name!r}, since no example is complete; "
                "remove the flag"
            )
        return dataclasses.replace(complete, examples_per_epoch=whole)
    if not model_class(config).learns_from_incomplete and complete.num_examples < whole:
        if not refuse:
            return complete
        fixes = "choose --model=mvae"
        if complete.num_examples:
            fixes = f"add --drop_incomplete to train on these, or {fixes}"
        raise UserError(
            f"--model={config.model} learns from complete examples only, and of the {whole} in "
            f"split {name!r} {complete.num_examples} are complete: {fixes}"
        )
    return split


def _takes_away(config: RunConfig) -> bool:
    """Returns whether the settings hide any modality."""
    fraction, examples = config.paired_fraction, config.paired_examples
    return fraction is not None or examples is not None or bool(config.missing_rate)


def _lacks(split: Split) -> bool:
    """Returns whether some example is known to be incomplete, without reading the data."""
    return not all(np.all(there) for there in (split.presence or {}).values())


def batch_composition(config: RunConfig, split: Split) -> list[strata.Stratum] | None:
    """Returns the strata of every training batch; None without `paired_share`.

    Args:
        config: The run's configuration.
        split: The training examples.
    """
    if config.paired_share is None or split.presence is None:
        return None
    return strata.cut(split.presence, config.batch_size, config.paired_share)


def mask_of_batch(composition: Sequence[strata.Stratum]) -> dict[str, np.ndarray] | None:
    """Returns the masks of every batch of a composition, `[batch]` by modality; None if unknown.

    Args:
        composition: The strata of a batch.
    """
    if any(stratum.pattern is None for stratum in composition):
        return None
    names = composition[0].pattern
    return {
        name: np.concatenate([np.full(s.rows, s.pattern[name], np.float32) for s in composition])
        for name in names
    }


def _masks(config: RunConfig, split: Split, name: str) -> dict[str, np.ndarray]:
    """Returns masks by modality: 1 for values that the settings do not hide."""
    names = _modalities(config, split)
    seed = config.seed + (0 if name == "train" else 2**20)
    if config.missing_by_class:
        masks = _missing_by_class(config, split, name, seed)
    else:
        masks = _missing_at_random(config, names, split.num_examples, seed)
    if config.paired_fraction is None and config.paired_examples is None:
        return masks
    return pairing.both_masks(_paired(config, split, name, seed), masks)


def _paired(config: RunConfig, split: Split, name: str, seed: int) -> dict[str, np.ndarray]:
    """Returns masks of `paired_fraction`; examples that are incomplete already do not change."""
    fraction, examples = config.paired_fraction, config.paired_examples
    if examples is not None and name != "train":
        # The validation split has the same fraction of complete examples as the training split.
        train = _whole_rows(load_split(config, "train")).sum()
        fraction, examples = min(1.0, examples / max(train, 1)), None
    names, rows = _modalities(config, split), _whole_rows(split)
    had = [part for part in names if np.any((split.presence or {}).get(part, True))]
    labels = _classes(config, split, name)
    labels = np.zeros(len(rows), int) if labels is None else labels
    masks = {part: np.ones(len(rows), bool) for part in names}
    for part, kept in pairing.paired_masks(labels[rows], had, fraction, examples, seed).items():
        masks[part][rows] = kept
    return masks


def _modalities(config: RunConfig, split: Split) -> list[str]:
    """Returns the names of a split's modalities."""
    given = {covariate.name for covariate in make_covariates(config)}
    return sorted(set(split.dataset.element_spec["x"]) - given)


def _whole_rows(split: Split) -> np.ndarray:
    """Returns whether each example has all modalities that any example has, `[examples]`."""
    parts = (split.presence or {}).values()
    columns = [np.reshape(there, [split.num_examples, -1]) > 0 for there in parts]
    table = np.concatenate([np.ones([split.num_examples, 1], bool), *columns], axis=1)
    return table[:, table.any(axis=0)].all(axis=1)


def _classes(config: RunConfig, split: Split, name: str) -> np.ndarray | None:
    """Returns the examples' classes, `[examples]`, or None if they have none."""
    spec = split.dataset.element_spec["x"].get("label")
    if spec is not None and spec.dtype.is_integer and spec.shape.rank == 0:
        return pairing.class_labels(split)
    if registry.get(config.experiment).labels is None:
        return None
    return outside_labels(config, name)


def _missing_by_class(
    config: RunConfig, split: Split, name: str, seed: int
) -> dict[str, np.ndarray]:
    """Returns masks by modality; the rate of missing values depends on an example's class."""
    labels = _classes(config, split, name)
    if labels is None:
        raise UserError(
            f"--missing_by_class needs examples with a class; those of "
            f"--experiment={config.experiment} have none"
        )
    known = _modalities(config, split)
    # The rates of the classes are the same in both splits, whichever classes occur.
    every = labels if name == "train" else _classes(config, load_split(config, "train"), "train")
    number = 1 + max(np.max(part) for part in (labels, every))
    rates = {}
    for place, (part, rate) in enumerate(sorted(config.missing_rate.items())):
        if part not in known:
            raise UserError(f"--missing_rate names {part!r}; the modalities are {known}")
        if rate > 0.5:
            raise UserError(
                f"--missing_rate={part}={rate:g} with --missing_by_class must be 0.5 or less: the "
                "rate of a class is up to twice as high"
            )
        rising = np.linspace(0, 2 * rate, number)
        rates[part] = rising if place % 2 == 0 else rising[::-1]
    return pairing.missing_by_label(labels, rates, seed)


def _missing_at_random(
    config: RunConfig, names: Sequence[str], number: int, seed: int
) -> dict[str, np.ndarray]:
    """Returns masks by modality; a group's rate applies to its members without an own rate."""
    rates = config.missing_rate
    if not rates:
        return {}
    members = dict.fromkeys(names, ())
    experiment = registry.get(config.experiment)
    # The names of members are unknown before the assets are made, unless they are declared.
    if experiment.names is not None or experiment.prepare is None:
        groups = {name: own for name, own in modality_names(config).items() if own}
        members |= {name: own for name, own in groups.items() if name in members}
    known = {*members, *(name for own in members.values() for name in own)}
    for name in rates:
        if name not in known:
            raise UserError(f"--missing_rate names {name!r}; the modalities are {sorted(known)}")
    masks = {}
    for name, group in members.items():
        own = {member: rates.get(member, rates.get(name, 0.0)) for member in group or (name,)}
        found = pairing.missing_at_random(number, own, seed)
        if group:
            masks[name] = np.stack([found[member] for member in group], axis=1)
        elif name in rates:
            masks |= found
    return masks


def _refuse_without_use(config: RunConfig) -> None:
    """Raises an error for settings that need incomplete examples, if all are complete."""
    useless = ["paired_share"] if config.paired_share else []
    if config.drop_incomplete and not _lacks(load_split(config, "validation")):
        useless.append("drop_incomplete")
    for name in useless:
        raise UserError(
            f"--{name} is for data with missing modalities, and these are complete: also give "
            "--paired_fraction, --paired_examples or --missing_rate"
        )
