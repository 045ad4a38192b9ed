"""Loads the data that a configuration describes."""

from collections.abc import Callable

import numpy as np

from tf_mvae.data.pairing import with_masks
from tf_mvae.data.pipeline import Split
from tf_mvae.errors import UserError
from tf_mvae.experiments import registry
from tf_mvae.training.config import RunConfig
from tf_mvae.training.parts import (
    first_of,
    make_covariates,
    modality_names,
    model_class,
    options_of,
)

__all__ = ["load_split", "outside_labels"]

Masks = Callable[[Split], dict[str, np.ndarray]]


def load_split(config: RunConfig, name: str, masks: Masks | None = None) -> Split:
    """Returns the examples of a split, with the modalities of the run's model.

    Args:
        config: The run's configuration.
        name: `train`, `validation` or `test`.
        masks: A function from the complete examples to masks by modality, for training with
            incomplete examples; default: all modalities stay observed.

    Raises:
        UserError: The data are missing.
    """
    experiment = registry.get(config.experiment)
    options = options_of(config, experiment)
    split = experiment.load(name, config.data_dir, **options)
    if masks is not None:
        split = with_masks(split, masks(split))
    most = model_class(config).max_modalities
    if most is None:
        return split
    names = list(modality_names(config))
    first = first_of(config, names)
    kept = sorted(names, key=lambda name: name != first)[:most]
    return split.only([*kept, *(covariate.name for covariate in make_covariates(config))])


def outside_labels(config: RunConfig, name: str) -> np.ndarray:
    """Returns the classes of a split's examples, for data sets whose class is not a modality.

    Args:
        config: The run's configuration.
        name: `train`, `validation` or `test`.

    Returns:
        The classes, int32 `[examples]`.

    Raises:
        UserError: The experiment's data have no such classes.
    """
    experiment = registry.get(config.experiment)
    if experiment.labels is None:
        raise UserError(f"the examples of --experiment={experiment.name} have no class")
    return experiment.labels(name, config.data_dir, **options_of(config, experiment))
