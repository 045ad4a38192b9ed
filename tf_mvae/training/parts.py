"""The parts of a run's model: its modalities, their names, and its covariates."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from tf_mvae import models
from tf_mvae.covariate import Covariate
from tf_mvae.errors import UserError
from tf_mvae.experiments import Experiment, registry
from tf_mvae.modality import Modality
from tf_mvae.settings import MODELS
from tf_mvae.training.config import RunConfig

__all__ = [
    "first_of",
    "make_covariates",
    "make_modalities",
    "mistakes_named",
    "modality_names",
    "model_class",
    "options_of",
]


def model_class(config: RunConfig) -> type[models.BaseVAE]:
    """Returns the class of a run's model, such as `tf_mvae.MVAE`."""
    return MODELS[config.model].make


def options_of(config: RunConfig, experiment: Experiment) -> dict[str, Any]:
    """Returns an experiment's own settings by name, and `assets_dir` if it has assets.

    Args:
        config: The run's configuration.
        experiment: The experiment.
    """
    options = {setting.name: config.get(setting.name) for setting in experiment.settings}
    return options if experiment.prepare is None else {**options, "assets_dir": config.assets_dir}


@contextlib.contextmanager
def mistakes_named() -> Iterator[None]:
    """Converts ValueErrors of layers and modalities to UserErrors."""
    try:
        yield
    except ValueError as error:
        raise UserError(str(error)) from error


@mistakes_named()
def make_modalities(config: RunConfig) -> list[Modality]:
    """Returns the modalities of a run's model with new networks, in the model's order.

    Args:
        config: The run's configuration.

    Raises:
        UserError: A setting names an unknown modality, or has a value that a modality rejects.
    """
    experiment = registry.get(config.experiment)
    options = options_of(config, experiment)
    most = model_class(config).max_modalities
    listed = options.get(experiment.named_by, ())
    if listed and most is not None:  # the run's assets are for its own modality only
        options[experiment.named_by] = (first_of(config, listed),)
    cross_weight = config.get("cross_weight", {})
    modalities = experiment.modalities(config.likelihood_weight, cross_weight, **options)
    names = [modality.name for modality in modalities]
    _check_weights(config, modalities, {*experiment.optional, *listed})
    first = first_of(config, names)
    modalities.sort(key=lambda modality: modality.name != first)
    return modalities[:most]


@mistakes_named()
def modality_names(config: RunConfig) -> dict[str, tuple[str, ...]]:
    """Returns the names of members by modality; empty for a modality that is not a group.

    Modalities are built only if the experiment does not declare their names.

    Args:
        config: The run's configuration.

    Raises:
        UserError: The modalities cannot be made.
    """
    experiment = registry.get(config.experiment)
    options = options_of(config, experiment)
    if experiment.names is not None:
        return {name: tuple(own) for name, own in experiment.names(**options).items()}
    if experiment.named_by is not None:  # modalities cannot be built before the run's assets
        return dict.fromkeys(options[experiment.named_by], ())
    weights = config.likelihood_weight, config.get("cross_weight", {})
    made = experiment.modalities(*weights, **options)
    return {m.name: m.column_names if m.mask_shape else () for m in made}


def make_covariates(config: RunConfig) -> list[Covariate]:
    """Returns the covariates of a run's model; most experiments have none."""
    experiment = registry.get(config.experiment)
    if experiment.covariates is None:
        return []
    return experiment.covariates(**options_of(config, experiment))


def _check_weights(config: RunConfig, modalities: Sequence[Modality], more: set[str]) -> None:
    """Checks that all weights are for known modalities or terms."""
    members = {name for modality in modalities for name in modality.column_names}
    names = members | {modality.name for modality in modalities}
    terms = members | {"everything", "random"}
    known = {"likelihood_weight": names, "cross_weight": names, "term_weight": terms}
    for flag, weighed in known.items():
        for name in config.get(flag, ()):
            if name not in weighed | more:
                shown = sorted(members if flag == "term_weight" else names)
                raise UserError(f"--{flag} names {name!r}; the modalities are {shown}")


def first_of(config: RunConfig, names: Sequence[str]) -> str:
    """Returns the first modality, which is the only one of a vae.

    Args:
        config: The run's configuration.
        names: The modalities, in the experiment's order.

    Raises:
        UserError: `--modality` is not one of them.
    """
    chosen = config.get("modality")
    if chosen is not None and chosen not in names:
        raise UserError(f"--modality={chosen} is unknown; choose one of {', '.join(names)}")
    return chosen or names[0]
