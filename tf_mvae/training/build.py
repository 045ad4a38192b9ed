"""From a configuration to its model and its data."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from tf_mvae import checks, models
from tf_mvae.covariate import Covariate
from tf_mvae.data.pairing import with_masks
from tf_mvae.data.pipeline import Split
from tf_mvae.errors import UserError
from tf_mvae.experiments import Experiment, registry
from tf_mvae.modality import Modality
from tf_mvae.models.precision import layers_compute_in
from tf_mvae.models.registry import Preset
from tf_mvae.settings import MODELS, Setting
from tf_mvae.training.compilation import steps_per_program
from tf_mvae.training.config import RunConfig
from tf_mvae.training.optimizer import make_optimizer

Masks = Callable[[Split], dict[str, np.ndarray]]

__all__ = [
    "SETTINGS",
    "build_model",
    "load_split",
    "make_covariates",
    "make_modalities",
    "modality_names",
    "model_class",
    "options_of",
    "outside_labels",
    "resolved",
]

SETTINGS = (
    Setting(
        "annealing_epochs",
        10,
        "Passes over which the KL weight rises from 0 to 1.",
        checks.non_negative_integer,
    ),
    Setting("seed", 0, "Seed of weights, order, subsets and noise.", checks.non_negative_integer),
    Setting(
        "mixed_precision",
        "float32",
        "Type in which networks compute; weights, densities and sums are float32 with each.",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
    ),
)


def build_model(config: RunConfig, steps_per_epoch: int) -> models.BaseVAE:
    """Builds and compiles the model that a configuration describes.

    Args:
        config: The run's configuration.
        steps_per_epoch: For the annealing of the KL weight and the learning rate.

    Raises:
        UserError: The configuration does not fit the experiment.
    """
    keras.utils.set_random_seed(config.seed)
    preset: Preset = MODELS[config.model]
    with _mistakes_named(), layers_compute_in(config.mixed_precision):
        modalities = make_modalities(config)
        networks = preset.make.experiment_arguments(registry.get(config.experiment), modalities)
        own = {s.name if s.argument is None else s.argument: s.name for s in preset.settings}
        own.pop("", None)
        if covariates := make_covariates(config):
            networks = {**networks, "covariates": covariates}
        model = preset.make(
            modalities,
            latent_dim=config.latent_dim,
            kl_weight=models.LinearAnnealing(config.annealing_epochs * steps_per_epoch),
            num_samples=config.num_samples,
            free_bits=config.free_bits,
            seed=config.seed,
            name=preset.name,
            **{argument: config.get(name) for argument, name in own.items()},
            **networks,
        )
    compiled = bool(config.jit_compile)
    model.compile(
        make_optimizer(config, steps_per_epoch),
        jit_compile=compiled,
        steps_per_execution=steps_per_program(config, steps_per_epoch, compiled),
    )
    model.optimizer.build(model.trainable_variables)
    return model


def resolved(config: RunConfig, before: RunConfig | None = None) -> RunConfig:
    """Returns the configuration with what depends on the data and the modalities filled in.

    Args:
        config: The run's configuration.
        before: That of the run that is taken up, if there is one: its terms keep their weights,
            whatever the default was in its version.

    Raises:
        UserError: The data are not there, or the configuration does not fit the experiment.
    """
    experiment = registry.get(config.experiment)
    if experiment.resolve is not None:
        found = experiment.resolve(config.data_dir, **options_of(config, experiment))
        config = config.replace(**found)
    preset: Preset = MODELS[config.model]
    own = {setting.name: config.get(setting.name) for setting in preset.settings}
    was = None
    if before is not None and before.model == config.model:
        was = {setting.name: before.get(setting.name) for setting in preset.settings}
    return config.replace(**preset.make.resolve(lambda: make_modalities(config), own, was))


def model_class(config: RunConfig) -> type[models.BaseVAE]:
    """Returns the class of a run's model."""
    return MODELS[config.model].make


def options_of(config: RunConfig, experiment: Experiment) -> dict[str, Any]:
    """Returns the experiment's own settings, and where a run keeps what it prepares."""
    options = {setting.name: config.get(setting.name) for setting in experiment.settings}
    return options if experiment.prepare is None else {**options, "assets_dir": config.assets_dir}


def load_split(config: RunConfig, name: str, masks: Masks | None = None) -> Split:
    """Returns the examples of `train`, `validation` or `test`, as a run's model takes them.

    Args:
        config: The run's configuration.
        name: The split's name.
        masks: From the complete examples to what they keep, by modality; default: everything.

    Raises:
        UserError: The data are not there.
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
    first = _first(config, names)
    kept = sorted(names, key=lambda name: name != first)[:most]
    return split.only([*kept, *(covariate.name for covariate in make_covariates(config))])


def outside_labels(config: RunConfig, name: str) -> np.ndarray:
    """Returns the classes of a split's examples where these are no modality, int32 `[examples]`.

    Args:
        config: The run's configuration.
        name: The split's name.

    Raises:
        UserError: The experiment's data have no such classes.
    """
    experiment = registry.get(config.experiment)
    if experiment.labels is None:
        raise UserError(f"the examples of --experiment={experiment.name} have no class")
    return experiment.labels(name, config.data_dir, **options_of(config, experiment))


@contextlib.contextmanager
def _mistakes_named() -> Iterator[None]:
    """Makes a user's mistake of what a layer or a modality refuses."""
    try:
        yield
    except ValueError as error:
        raise UserError(str(error)) from error


@_mistakes_named()
def make_modalities(config: RunConfig) -> list[Modality]:
    """Returns new modalities, those that a run's model has, in its order.

    Raises:
        UserError: A setting names no modality, is another experiment's, or is one that a modality
            refuses.
    """
    experiment = registry.get(config.experiment)
    options = options_of(config, experiment)
    most = model_class(config).max_modalities
    listed = options.get(experiment.named_by, ())
    if listed and most is not None:  # the run's assets are its modality's alone
        options[experiment.named_by] = (_first(config, listed),)
    cross_weight = config.get("cross_weight", {})
    modalities = experiment.modalities(config.likelihood_weight, cross_weight, **options)
    names = [modality.name for modality in modalities]
    _check_weights(config, modalities, {*experiment.optional, *listed})
    first = _first(config, names)
    modalities.sort(key=lambda modality: modality.name != first)
    return modalities[:most]


@_mistakes_named()
def modality_names(config: RunConfig) -> dict[str, tuple[str, ...]]:
    """Returns the names of an experiment's modalities, each with those of a group's members.

    Modalities are made only if the experiment does not declare the names.

    Args:
        config: The run's configuration.

    Raises:
        UserError: The modalities cannot be made.
    """
    experiment = registry.get(config.experiment)
    options = options_of(config, experiment)
    if experiment.names is not None:
        return {name: tuple(own) for name, own in experiment.names(**options).items()}
    if experiment.named_by is not None:  # a modality cannot be made before the run's assets
        return dict.fromkeys(options[experiment.named_by], ())
    weights = config.likelihood_weight, config.get("cross_weight", {})
    made = experiment.modalities(*weights, **options)
    return {m.name: m.column_names if m.mask_shape else () for m in made}


def make_covariates(config: RunConfig) -> list[Covariate]:
    """Returns new covariates of a run's model; none for most experiments."""
    experiment = registry.get(config.experiment)
    if experiment.covariates is None:
        return []
    return experiment.covariates(**options_of(config, experiment))


def _check_weights(config: RunConfig, modalities: Sequence[Modality], more: set[str]) -> None:
    """Refuses weights of what is no modality and no term."""
    members = {name for modality in modalities for name in modality.column_names}
    names = members | {modality.name for modality in modalities}
    terms = members | {"everything", "random"}
    known = {"likelihood_weight": names, "cross_weight": names, "term_weight": terms}
    for flag, weighed in known.items():
        for name in config.get(flag, ()):
            if name not in weighed | more:
                shown = sorted(members if flag == "term_weight" else names)
                raise UserError(f"--{flag} names {name!r}; the modalities are {shown}")


def _first(config: RunConfig, names: Sequence[str]) -> str:
    """Returns the modality that leads, the only one of a vae."""
    chosen = config.get("modality")
    if chosen is not None and chosen not in names:
        raise UserError(f"--modality={chosen} is not known; there are {', '.join(names)}")
    return chosen or names[0]
