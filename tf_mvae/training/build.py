"""Builds the model that a configuration describes."""

import dataclasses
import functools
import inspect

import keras

from tf_mvae import checks, models
from tf_mvae.experiments import Experiment, registry
from tf_mvae.models.registry import Preset
from tf_mvae.optimization import layers_compute_in
from tf_mvae.settings import MODELS, Setting
from tf_mvae.training.compilation import steps_per_program
from tf_mvae.training.config import RunConfig
from tf_mvae.training.optimizer import make_optimizer
from tf_mvae.training.parts import (
    make_covariates,
    make_modalities,
    mistakes_named,
    modality_names,
    options_of,
)

__all__ = ["SETTINGS", "build_model", "resolved"]

SETTINGS = (
    Setting(
        "annealing_epochs",
        10,
        "Passes over which the KL weight rises from 0.",
        checks.non_negative_integer,
    ),
    Setting(
        "kl_weight",
        1.0,
        "Weight of the KL divergence in training, after annealing. Below 1 the latent has more "
        "information and is further from the prior; a sampler (--sampler_epochs) learns its "
        "distribution.",
        checks.non_negative,
        argument="",
    ),
    Setting("seed", 0, "Seed of weights, order, subsets and noise.", checks.seed),
    Setting(
        "mixed_precision",
        "float32",
        "Type of the networks' computations; weights, densities and sums are always float32.",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
    ),
)


def build_model(config: RunConfig, steps_per_epoch: int) -> models.BaseVAE:
    """Builds and compiles the model that a configuration describes.

    Args:
        config: The run's configuration.
        steps_per_epoch: The number of steps per epoch, for the annealing of the KL weight and the
            learning rate.

    Raises:
        UserError: The configuration does not fit the experiment.

    Example:
    ```python
    from tf_mvae.training.build import build_model

    config = RunConfig("digits", latent_dim=8)
    model = build_model(config, steps_per_epoch=100)
    model.latent_dim  # 8
    ```
    """
    keras.utils.set_random_seed(config.seed)
    preset: Preset = MODELS[config.model]
    annealing = config.annealing_epochs * steps_per_epoch
    with mistakes_named(), layers_compute_in(config.mixed_precision):
        modalities = make_modalities(config)
        networks = preset.make.experiment_arguments(_with_trunks_of(config), modalities)
        own = {s.name if s.argument is None else s.argument: s.name for s in preset.settings}
        own.pop("", None)
        if covariates := make_covariates(config):
            networks = {**networks, "covariates": covariates}
        model = preset.make(
            modalities,
            latent_dim=config.latent_dim,
            kl_weight=models.LinearAnnealing(annealing, config.kl_weight),
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
    """Returns the configuration with the settings filled in that depend on data and modalities.

    Args:
        config: The run's configuration.
        before: The configuration of the run that is continued, if any: its terms keep their
            weights, even if an earlier version had other defaults.

    Raises:
        UserError: The data are missing, or the configuration does not fit the experiment.
    """
    experiment = registry.get(config.experiment)
    if experiment.resolve is not None:
        found = experiment.resolve(config.data_dir, **options_of(config, experiment))
        config = config.replace(**found)
    config = _without_absent_terms(config, experiment)
    preset: Preset = MODELS[config.model]
    own = {setting.name: config.get(setting.name) for setting in preset.settings}
    was = None
    if before is not None and before.model == config.model:
        was = {setting.name: before.get(setting.name) for setting in preset.settings}
    return config.replace(**preset.make.resolve(lambda: make_modalities(config), own, was))


def _with_trunks_of(config: RunConfig) -> Experiment:
    """Returns a run's experiment, whose `joint_trunks` take no arguments: the run's settings."""
    experiment = registry.get(config.experiment)
    if experiment.joint_trunks is None:
        return experiment
    taken = inspect.signature(experiment.joint_trunks).parameters
    options = options_of(config, experiment)
    own = {name: value for name, value in options.items() if name in taken}
    make = functools.partial(experiment.joint_trunks, **own)
    return dataclasses.replace(experiment, joint_trunks=make)


def _without_absent_terms(config: RunConfig, experiment: Experiment) -> RunConfig:
    """Drops the weights of terms whose modality is optional and not in this run.

    A flagfile may name all of an experiment's modalities, but a model accepts only its own terms.
    """
    weights = config.get("term_weight")
    if not weights or not experiment.optional:
        return config
    absent = set(experiment.optional) - set(modality_names(config))
    return config.replace(term_weight={k: v for k, v in weights.items() if k not in absent})
