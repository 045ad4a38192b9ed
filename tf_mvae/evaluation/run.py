"""The interface of a trained run that analyses use."""

import pathlib
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from tf_mvae.data.pipeline import Split
from tf_mvae.data.tables import Table
from tf_mvae.data.tasks import Task
from tf_mvae.modality import Modality
from tf_mvae.models import BaseVAE

__all__ = ["Run", "RunExperiment", "RunSettings"]


class RunSettings(Protocol):
    """The settings of a run that analyses read; `tf_mvae.training.RunConfig` has them all."""

    experiment: str
    model: str
    latent_dim: int
    batch_size: int
    shuffle_buffer: int
    learning_rate: float
    clip_norm: float
    jit_compile: bool | str
    seed: int


class RunExperiment(Protocol):
    """The attributes of a run's experiment that analyses read; see `tf_mvae.experiments`."""

    name: str
    tasks: tuple[Task, ...]
    analyses: tuple[str, ...]
    table: Callable[..., Table] | None
    labels: Callable[..., np.ndarray] | None
    class_names: tuple[str, ...]


class Run(Protocol):
    """A trained run; `tf_mvae.training.load_run` returns one.

    Attributes:
        directory: The run directory's path.
        config: Its settings.
        experiment: Its experiment.
        model: Its model, with a checkpoint's weights.
        checkpoint_step: The optimizer step of that checkpoint.
    """

    directory: pathlib.Path
    config: RunSettings
    experiment: RunExperiment
    model: BaseVAE
    checkpoint_step: int

    def split(self, name: str) -> Split:
        """Returns the examples of `train`, `validation` or `test`."""

    def seen_split(self, name: str) -> Split:
        """Returns `train` or `validation` without the modalities that are hidden from the run."""

    def fresh_modalities(self) -> list[Modality]:
        """Returns the run's modalities with new, untrained networks."""

    def text(self, name: str) -> dict[str, list[str]]:
        """Returns a split's original sentences by modality; `""` if missing."""

    def batches(self, split: str, batch_size: int, seed: int = 0) -> tf.data.Dataset:
        """Returns checked batches of a split in a fixed order; the last may be smaller."""

    def labels(self, name: str) -> np.ndarray:
        """Returns a split's classes that are not a modality, int32 `[examples]`."""

    def table(self, name: str) -> Table:
        """Returns the rows of a split of a table, with their schema."""

    def tokenizers(self) -> Any:
        """Returns the tokenisers by modality; None or empty without text."""
