"""From a configuration to its model and its data."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from tf_mvae import models
from tf_mvae.data.pairing import with_masks
from tf_mvae.data.pipeline import Split
from tf_mvae.errors import UserError
from tf_mvae.experiments import Experiment, registry
from tf_mvae.modality import Modality
from tf_mvae.models.precision import layers_compute_in
from tf_mvae.training.config import RunConfig
from tf_mvae.training.optimizer import make_optimizer

Masks = Callable[[Split], dict[str, np.ndarray]]

__all__ = [
    "build_model",
    "load_split",
    "make_modalities",
    "model_class",
    "resolved",
    "steps_per_program",
]


def build_model(config: RunConfig, steps_per_epoch: int) -> models.BaseVAE:
    """Builds and compiles the model that a configuration describes.

    Args:
        config: The run's configuration.
        steps_per_epoch: For the annealing of the KL weight and the learning rate.

    Raises:
        UserError: The configuration does not fit the experiment.
    """
    _check_use(config)
    keras.utils.set_random_seed(config.seed)
    experiment = registry.get(config.experiment)
    annealing = models.LinearAnnealing(config.annealing_epochs * steps_per_epoch)
    common = {
        "latent_dim": config.latent_dim,
        "kl_weight": annealing,
        "num_samples": config.num_samples,
        "free_bits": config.free_bits,
        "seed": config.seed,
        "name": config.model,
    }
    with _mistakes_named(), layers_compute_in(config.mixed_precision):
        modalities = make_modalities(config)
        model = _MAKERS[config.model](config, experiment, modalities, common)
    compiled = bool(config.jit_compile)
    model.compile(
        make_optimizer(config, steps_per_epoch),
        jit_compile=compiled,
        steps_per_execution=steps_per_program(config, steps_per_epoch, compiled),
    )
    model.optimizer.build(model.trainable_variables)
    return model


def steps_per_program(config: RunConfig, steps: int, compiled: bool) -> int:
    """Returns the configuration's `steps_per_execution`, or the next fewer that divide `steps`.

    Keras would go on past the end of an epoch otherwise. Steps that XLA does not compile would
    gain nothing, and are one by one.
    """
    most = config.steps_per_execution if compiled else 1
    return max(n for n in range(1, min(steps, most) + 1) if steps % n == 0)


def resolved(config: RunConfig, before: RunConfig | None = None) -> RunConfig:
    """Returns the configuration with what depends on the data and the modalities filled in.

    Args:
        config: The run's configuration.
        before: That of the run that is taken up, if there is one: its terms keep their weights,
            whatever the default was in its version.

    Raises:
        UserError: The data are not there, or the configuration does not fit the experiment.
    """
    _check_use(config)
    experiment = registry.get(config.experiment)
    if experiment.resolve is not None:
        found = experiment.resolve(config.data_dir, **_options(config, experiment))
        config = dataclasses.replace(config, **found)
    if not issubclass(model_class(config), models.MVAE):
        return config
    # Modalities are made in any case: layers count those made before for their names, which are
    # a part of checkpoints.
    weights = models.default_term_weight(make_modalities(config), config.alignment_weight)
    if before is not None and before.model == config.model:
        weights = before.term_weight
    return dataclasses.replace(config, term_weight=weights | config.term_weight)


def model_class(config: RunConfig) -> type[models.BaseVAE]:
    """Returns the class of a run's model."""
    return _CLASSES[config.model]


def load_split(config: RunConfig, name: str, masks: Masks | None = None) -> Split:
    """Returns the examples of `train`, `validation` or `test`, as a run's model takes them.

    Args:
        config: The run's configuration.
        name: The split's name.
        masks: From the whole examples to what they keep, by modality; everything where
            left out.

    Raises:
        UserError: The data are not there.
    """
    experiment = registry.get(config.experiment)
    split = experiment.load(name, config.data_dir, **_options(config, experiment))
    if masks is not None:
        split = with_masks(split, masks(split))
    if config.model != "vae":
        return split
    if experiment.named_by is not None:  # a modality cannot be made before the run's assets
        return split.only([_first(config, getattr(config, experiment.named_by))])
    return split.only([modality.name for modality in make_modalities(config)])


@contextlib.contextmanager
def _mistakes_named() -> Iterator[None]:
    """Makes a user's mistake of what a layer or a modality refuses."""
    try:
        yield
    except ValueError as error:
        raise UserError(str(error)) from error


def _check_use(config: RunConfig) -> None:
    """Refuses settings that a run's model would not heed."""
    usual = {field.name: field for field in dataclasses.fields(RunConfig)}
    for name, users in _USERS.items():
        field = usual[name]
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        if getattr(config, name) != default and config.model not in users:
            raise UserError(
                f"--{name} is for --model={' and '.join(users)}; --model={config.model} has no use "
                "for it"
            )


def _options(config: RunConfig, experiment: Experiment) -> dict[str, Any]:
    """Returns the settings that are the experiment's own, and refuses those of others."""
    for field in dataclasses.fields(RunConfig):
        given = getattr(config, field.name) != field.default
        if field.name in _OPTIONS and given and field.name not in experiment.options:
            raise UserError(f"--{field.name} is not for --experiment={experiment.name}")
    return {name: getattr(config, name) for name in experiment.options}


@_mistakes_named()
def make_modalities(config: RunConfig) -> list[Modality]:
    """Returns new modalities, those that a run's model has, in its order.

    Raises:
        UserError: A setting names no modality, is another experiment's, or is one that a modality
            refuses.
    """
    experiment = registry.get(config.experiment)
    options = _options(config, experiment)
    listed = options.get(experiment.named_by, ())
    if listed and config.model == "vae":  # the run's assets are its modality's alone
        options[experiment.named_by] = (_first(config, listed),)
    modalities = experiment.modalities(config.likelihood_weight, config.cross_weight, **options)
    names = [modality.name for modality in modalities]
    members = [name for m in modalities for name in m.column_names]
    known = {
        "likelihood_weight": {*names, *members},
        "cross_weight": {*names, *members},
        "term_weight": {"everything", "random", *members},
    }
    for flag, weighed in known.items():
        for name in getattr(config, flag):
            if name not in {*weighed, *experiment.optional, *listed}:
                raise UserError(
                    f"--{flag} names {name!r}; the modalities are "
                    f"{sorted({*names, *members} if flag != 'term_weight' else members)}"
                )
    first = _first(config, names)
    modalities.sort(key=lambda modality: modality.name != first)
    return modalities[:1] if config.model == "vae" else modalities


def _first(config: RunConfig, names: Sequence[str]) -> str:
    """Returns the modality that leads, the only one of a vae."""
    if config.modality is not None and config.modality not in names:
        raise UserError(f"--modality={config.modality} is not known; there are {', '.join(names)}")
    return config.modality or names[0]


def _mvae(
    make: type[models.MVAE],
) -> Callable[[RunConfig, Experiment, list[Modality], dict[str, Any]], models.BaseVAE]:
    def build(config, experiment, modalities, common):
        return make(
            modalities,
            num_random_subsets=config.num_random_subsets,
            subset_distribution=config.subset_distribution,
            term_weight=config.term_weight,
            self_training=config.self_training,
            self_training_weight=config.self_training_weight,
            self_training_start=config.self_training_start,
            alignment_weight=config.alignment_weight,
            **common,
        )

    return build


def _plain(
    make: type[models.BaseVAE],
) -> Callable[[RunConfig, Experiment, list[Modality], dict[str, Any]], models.BaseVAE]:
    return lambda config, experiment, modalities, common: make(modalities, **common)


def _cvae(config, experiment, modalities, common):
    make = experiment.conditional_encoders.get(modalities[0].name)
    if make is None:
        return models.CVAE(modalities, **common)
    trunk, units = make()
    return models.CVAE(modalities, trunk=trunk, units=units, **common)


def _trunks(experiment: Experiment) -> dict[str, keras.layers.Layer] | None:
    return experiment.joint_trunks and experiment.joint_trunks()


def _jmvae(config, experiment, modalities, common):
    return models.JMVAE(modalities, trunks=_trunks(experiment), alpha=config.alpha, **common)


def _telbo(config, experiment, modalities, common):
    return models.TELBO(modalities, trunks=_trunks(experiment), **common)


# Settings that are some experiments' own.
_OPTIONS = (
    "dataset_dir",
    "attributes",
    "absent_attributes",
    "num_modalities",
    "transformations",
    "absent_segmentation",
    "mask_feature",
    "mask_values",
    "languages",
    "vocabulary_size",
    "max_length",
    "word_dropout",
    "table",
    "schema",
    "element_dropout",
    "assets_dir",
)

# Settings that some models have no use for, with those that do.
_USERS = {
    "alignment_weight": ("mvae", "mvae_q"),
    "cross_weight": ("mvae", "mvae_q"),
    "term_weight": ("mvae", "mvae_q"),
    "num_random_subsets": ("mvae", "mvae_q"),
    "subset_distribution": ("mvae", "mvae_q"),
    "self_training": ("mvae", "mvae_q"),
    "alpha": ("jmvae",),
    "modality": ("vae", "cvae"),
    "correlation_alpha": ("mvtcae",),
    "bound": ("mmvae", "mmvae_plus"),
    "private_dim": ("mmvae_plus",),
}

_CLASSES = {
    "mvae": models.MVAE,
    "mvae_q": models.MVAEQ,
    "vae": models.VAE,
    "cvae": models.CVAE,
    "bivcca": models.BiVCCA,
    "jmvae": models.JMVAE,
    "telbo": models.TELBO,
    "mopoe": models.MoPoE,
    "mvtcae": models.MVTCAE,
    "mmvae": models.MMVAE,
    "mmvae_plus": models.MMVAEPlus,
}

_MAKERS = {
    "mvae": _mvae(models.MVAE),
    "mvae_q": _mvae(models.MVAEQ),
    "vae": _plain(models.VAE),
    "cvae": _cvae,
    "bivcca": _plain(models.BiVCCA),
    "jmvae": _jmvae,
    "telbo": _telbo,
    "mopoe": _plain(models.MoPoE),
    "mvtcae": lambda config, experiment, modalities, common: models.MVTCAE(
        modalities, alpha=config.correlation_alpha, **common
    ),
    "mmvae": lambda config, experiment, modalities, common: models.MMVAE(
        modalities, bound=config.bound, **common
    ),
    "mmvae_plus": lambda config, experiment, modalities, common: models.MMVAEPlus(
        modalities, private_dim=config.private_dim, bound=config.bound, **common
    ),
}
