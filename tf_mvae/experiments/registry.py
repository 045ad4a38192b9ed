"""The declaration of an experiment, and its registration."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tf_mvae.covariate import Covariate
from tf_mvae.data.pipeline import Split
from tf_mvae.data.tables import Table
from tf_mvae.data.tasks import Task
from tf_mvae.modality import Modality
from tf_mvae.settings import EXPERIMENTS, Setting

__all__ = ["DATASET_DIR", "SETTINGS", "Experiment", "get", "named", "names", "register"]

# Of every run.
SETTINGS = (
    Setting(
        "data_dir",
        None,
        "Data directory of TFDS; TFDS's own default if omitted.",
        kind=str,
        is_place=True,
        is_free=True,
    ),
    Setting(
        "likelihood_weight",
        {},
        "Weights of log-likelihoods in the terms whose subset contains the modality: "
        "image=1,label=50. 1 if omitted.",
        argument="",
    ),
)
# Of those experiments that read any data set of their kind.
DATASET_DIR = Setting(
    "dataset_dir",
    None,
    "A prepared TFDS directory (DIR/NAME/VERSION) to read instead of celeb_a: of an image and a "
    "dict of booleans, or for celeba_transformations of any image. For translation a directory of "
    "aligned text (train.en and train.vi, or train.tsv), or a prepared one of texts.",
    kind=str,
    is_place=True,
    must_exist=True,
)


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Data, modalities and settings of one experiment.

    Attributes:
        name: Its name for `--experiment`.
        description: One line.
        load: From a split's name (`train`, `validation`, `test`) and a data directory to
            its examples; keyword arguments are the experiment's `settings`.
        modalities: Makes the modalities, with the paper's networks; keyword arguments
            `likelihood_weight` and `cross_weight`, by name, and the `settings`.
        joint_trunks: Makes the trunks of a joint network (JMVAE, TELBO), by modality; keyword
            arguments are those of the `settings` that it has parameters for. None: the models'
            default.
        conditional_encoders: By target, makes the trunk and gives the widths of a CVAE's
            encoder; the model's own if omitted.
        licence: The licence of the data, a sentence for model cards; empty if unknown.
        prepare: A function that makes files from the training data which the models need, such as a
            vocabulary. Its arguments are the training examples that the run may see (from `load`
            without `assets_dir`), a directory to write to, and the `settings` as keyword arguments.
            The run keeps the directory as `assets/` and passes its path to `load`, `modalities` and
            `prepare` as `assets_dir` (None before it exists).
        check_assets: With `prepare`, raises `UserError` if that directory, of a run that goes on,
            is not what the `settings`, keyword arguments, say.
        named_by: With `prepare`, the setting with the names of the modalities, which are then known
            before the modalities can be made. For a vae, `prepare` and `modalities` get the name of
            its one modality only.
        tokenizers: From that directory (None where nothing is prepared) and the names of
            modalities to what turns text into the ids of those that are text: objects with
            `encode(sentences, length)`, as `tf_mvae.data.vocabulary.Vocabulary`.
        names: From the `settings` to the names of the modalities, in their order, each with those
            of a group's members (`named` where they are constant): what a run has to know of
            them without making networks. Default: modalities are made to learn their names.
        table: Of data that are a table: from a split's name to its rows with their schema; keyword
            arguments are the `settings`.
        covariates: Makes the covariates of a run's model; keyword arguments are the `settings`.
            None: it has none.
        settings: This experiment's own settings, such as a list of attributes; other
            experiments refuse them. They are written literally (`tf_mvae.settings.source`).
        resolve: From a data directory and the `settings` to those of them that depend on
            the data, by name: what a run finds when it begins and keeps in its flags.
        optional: Modalities that a run may not have, and that weights may name nevertheless.
        tasks: One modality from another, as pictures show and evaluations measure it.
        labels: Of data whose examples have a class that is no modality: from a split's name and a
            data directory to the classes, int32 `[num_examples]`, in the order of `load`; keyword
            arguments are the `settings`. Analyses and label-dependent missingness use it.
        class_names: With `labels`, the classes' names.
        analyses: What an evaluation measures if nothing else is said
            (`tf_mvae.evaluation.ANALYSES`).
    """

    name: str
    description: str
    load: Callable[..., Split]
    modalities: Callable[..., list[Modality]]
    joint_trunks: Callable[..., dict[str, keras.layers.Layer]] | None = None
    conditional_encoders: Mapping[str, Callable[[], tuple[keras.layers.Layer, list[int]]]] = (
        dataclasses.field(default_factory=dict)
    )
    licence: str = ""
    settings: tuple[Setting, ...] = ()
    resolve: Callable[..., dict[str, Any]] | None = None
    optional: tuple[str, ...] = ()
    tasks: tuple[Task, ...] = ()
    labels: Callable[..., np.ndarray] | None = None
    class_names: tuple[str, ...] = ()
    analyses: tuple[str, ...] = ("accuracy", "coherence")
    prepare: Callable[..., None] | None = None
    check_assets: Callable[..., None] | None = None
    named_by: str | None = None
    names: Callable[..., Mapping[str, Sequence[str]]] | None = None
    tokenizers: Callable[[str | None, Any], Mapping[str, Any]] | None = None
    table: Callable[..., Table] | None = None
    covariates: Callable[..., list[Covariate]] | None = None


def named(*names: str) -> Callable[..., Mapping[str, Sequence[str]]]:
    """Returns an experiment's `names` that do not depend on its settings.

    Args:
        *names: The modalities; none of them is a group.
    """

    def names_of(**_: Any) -> Mapping[str, Sequence[str]]:
        return dict.fromkeys(names, ())

    return names_of


def register(experiment: Experiment) -> Experiment:
    """Registers an experiment for `--experiment`."""
    EXPERIMENTS.add(experiment)
    return experiment


def names() -> list[str]:
    """Returns the experiments' names."""
    return EXPERIMENTS.names()


def get(name: str) -> Experiment:
    """Returns an experiment, by its name or as `package.module:name`.

    Raises:
        UserError: There is none of that name.
    """
    return EXPERIMENTS[name]
