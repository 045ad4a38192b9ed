"""What is missing in a run's training data, by its configuration."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tf_mvae import checks
from tf_mvae.data import pairing, strata
from tf_mvae.data.pipeline import Split
from tf_mvae.errors import UserError
from tf_mvae.experiments import registry
from tf_mvae.settings import Setting
from tf_mvae.training.build import (
    load_split,
    make_covariates,
    modality_names,
    model_class,
    outside_labels,
)
from tf_mvae.training.config import RunConfig

__all__ = ["SETTINGS", "batch_composition", "incomplete_split", "mask_of_batch"]

SETTINGS = (
    Setting(
        "paired_fraction",
        None,
        "Fraction of the training examples that stay whole; of the others each keeps one "
        "modality, the same one throughout. All stay whole if omitted.",
        checks.fraction,
        kind=float,
    ),
    Setting(
        "paired_examples",
        None,
        "The same as a number.",
        checks.non_negative_integer,
        kind=int,
        excludes="paired_fraction",
    ),
    Setting(
        "paired_share",
        None,
        "Fraction of each batch that is complete examples, which then come round more often than "
        "others; their fraction of the data if omitted.",
        checks.fraction,
        kind=float,
    ),
    Setting(
        "missing_rate",
        {},
        "Fraction of the training examples that are missing a modality, at random: label=0.9.",
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
        "Whether training omits examples that are missing a modality, for models that need them "
        "whole. An epoch has the same number of steps.",
    ),
)


def incomplete_split(config: RunConfig, name: str, refuse: bool = True) -> Split:
    """Returns the examples of `train` or `validation` without what the run is not to see.

    Which examples stay whole depends on the seed and the split alone, so that runs of
    different models see the same. What is missing in the data themselves is treated as what a flag
    takes away.

    Args:
        config: The run's configuration.
        name: The split's name.
        refuse: Whether to refuse what a run cannot be trained with. Otherwise a model that learns
            from complete examples alone gets these.

    Raises:
        UserError: The data are not there, nothing is left, or the model cannot learn from
            incomplete examples and is not configured to exclude them.
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
            f"--paired_share={config.paired_share:g} is for complete examples, and no example of "
            f"split {name!r} is whole; leave it out"
        )
    if config.drop_incomplete:
        if refuse and not complete.num_examples:
            raise UserError(
                f"--drop_incomplete leaves nothing of split {name!r}: no example is whole"
            )
        return dataclasses.replace(complete, examples_per_epoch=whole)
    if not model_class(config).learns_from_incomplete and complete.num_examples < whole:
        if not refuse:
            return complete
        fixes = "take --model=mvae"
        if complete.num_examples:
            fixes = f"add --drop_incomplete to train on these, or {fixes}"
        raise UserError(
            f"--model={config.model} learns from complete examples alone, and of the {whole} in "
            f"split {name!r} {complete.num_examples} are: {fixes}"
        )
    return split


def _takes_away(config: RunConfig) -> bool:
    """Whether the settings take anything away from the training data."""
    fraction, examples = config.paired_fraction, config.paired_examples
    return fraction is not None or examples is not None or bool(config.missing_rate)


def _lacks(split: Split) -> bool:
    """Says whether an example is incomplete, as far as that is known without reading them."""
    return not all(np.all(there) for there in (split.presence or {}).values())


def batch_composition(config: RunConfig, split: Split) -> list[strata.Stratum] | None:
    """Returns what every training batch is made of, where the run says so."""
    if config.paired_share is None or split.presence is None:
        return None
    return strata.cut(split.presence, config.batch_size, config.paired_share)


def mask_of_batch(composition: Sequence[strata.Stratum]) -> dict[str, np.ndarray] | None:
    """Returns the masks that every batch of a composition has, `[batch]` by modality, if known."""
    if any(stratum.pattern is None for stratum in composition):
        return None
    names = composition[0].pattern
    return {
        name: np.concatenate([np.full(s.rows, s.pattern[name], np.float32) for s in composition])
        for name in names
    }


def _masks(config: RunConfig, split: Split, name: str) -> dict[str, np.ndarray]:
    """Returns what the flags leave of a split."""
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
    """Returns masks that break up pairs; incomplete examples keep what they have."""
    fraction, examples = config.paired_fraction, config.paired_examples
    if examples is not None and name != "train":
        # As many for their number as the training split has, so that they hold no more information.
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
    """Returns which examples have all that any example has, `[examples]`."""
    parts = (split.presence or {}).values()
    columns = [np.reshape(there, [split.num_examples, -1]) > 0 for there in parts]
    table = np.concatenate([np.ones([split.num_examples, 1], bool), *columns], axis=1)
    return table[:, table.any(axis=0)].all(axis=1)


def _classes(config: RunConfig, split: Split, name: str) -> np.ndarray | None:
    """Returns the examples' classes, `[examples]`; None where they have none."""
    if "label" in split.dataset.element_spec["x"]:
        return pairing.class_labels(split)
    if registry.get(config.experiment).labels is None:
        return None
    return outside_labels(config, name)


def _missing_by_class(
    config: RunConfig, split: Split, name: str, seed: int
) -> dict[str, np.ndarray]:
    """Returns masks by modality whose rates depend on the examples' classes."""
    labels = _classes(config, split, name)
    if labels is None:
        raise UserError(
            f"--missing_by_class needs examples with a class; those of "
            f"--experiment={config.experiment} have none"
        )
    known = sorted(split.dataset.element_spec["x"])
    rates = {}
    for place, (part, rate) in enumerate(sorted(config.missing_rate.items())):
        if part not in known:
            raise UserError(f"--missing_rate names {part!r}; the modalities are {known}")
        if rate > 0.5:
            raise UserError(
                f"--missing_rate={part}={rate:g} with --missing_by_class must be 0.5 or less: the "
                "rate of a class is up to twice as high"
            )
        rising = np.linspace(0, 2 * rate, labels.max() + 1)
        rates[part] = rising if place % 2 == 0 else rising[::-1]
    return pairing.missing_by_label(labels, rates, seed)


def _missing_at_random(
    config: RunConfig, names: Sequence[str], number: int, seed: int
) -> dict[str, np.ndarray]:
    """Returns masks by modality; a group's rate is that of each member that has none of its own."""
    rates = config.missing_rate
    if not rates:
        return {}
    members = dict.fromkeys(names, ())
    experiment = registry.get(config.experiment)
    if experiment.names is not None or experiment.prepare is None:  # else they are not known yet
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
    """Refuses what is for missing parts where the training split has them all."""
    useless = ["paired_share"] if config.paired_share else []
    if config.drop_incomplete and not _lacks(load_split(config, "validation")):
        useless.append("drop_incomplete")
    for name in useless:
        raise UserError(
            f"--{name} is for data with missing parts, and these have all: give "
            "--paired_fraction, --paired_examples or --missing_rate too"
        )
