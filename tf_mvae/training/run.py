"""Loads a trained run: its model and its data."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mvae.batch import check_dataset
from tf_mvae.data.pipeline import Split, evaluation_batches
from tf_mvae.data.schema import Schema
from tf_mvae.data.tables import Table
from tf_mvae.errors import UserError
from tf_mvae.experiments import registry
from tf_mvae.experiments.table import kept_schema
from tf_mvae.modality import Modality
from tf_mvae.models import BaseVAE
from tf_mvae.optimization import layers_compute_in
from tf_mvae.training.assets import with_assets
from tf_mvae.training.build import build_model
from tf_mvae.training.checkpoints import Checkpoints
from tf_mvae.training.config import RunConfig
from tf_mvae.training.incomplete import incomplete_split
from tf_mvae.training.parts import make_modalities, options_of
from tf_mvae.training.places import may_be_one
from tf_mvae.training.run_directory import RunDirectory
from tf_mvae.training.sampler import attach_run_sampler
from tf_mvae.training.splits import load_split, outside_labels

__all__ = ["Run", "load_run"]


@dataclasses.dataclass(frozen=True)
class Run:
    """A trained run.

    Attributes:
        directory: The run directory's path.
        config: The run's configuration.
        experiment: The run's experiment.
        model: The run's model with the weights of a checkpoint.
        checkpoint_step: The optimizer step of this checkpoint.
        metrics: The metrics of this checkpoint by name; empty for one within an epoch.
    """

    directory: pathlib.Path
    config: RunConfig
    experiment: registry.Experiment
    model: BaseVAE
    checkpoint_step: int
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def split(self, name: str) -> Split:
        """Returns the examples of a split.

        Args:
            name: `train`, `validation` or `test`.

        Raises:
            UserError: The data are missing.
        """
        return load_split(self.config, name)

    def seen_split(self, name: str) -> Split:
        """Returns the examples of a split without the modalities that are hidden from the run.

        Args:
            name: `train` or `validation`.
        """
        return incomplete_split(self.config, name, refuse=False)

    def fresh_modalities(self) -> list[Modality]:
        """Returns the run's modalities with new, untrained networks."""
        with layers_compute_in(self.config.mixed_precision):
            return make_modalities(self.config)

    def tokenizers(self) -> Mapping[str, Any]:
        """Returns the tokenizers by modality; empty if no modality is text."""
        make = self.experiment.tokenizers
        if make is None:
            return {}
        return make(self.config.assets_dir, [m.name for m in self.model.modalities])

    def text(self, name: str) -> dict[str, list[str]]:
        """Returns a split's original sentences by modality; `""` if missing.

        Args:
            name: `train`, `validation` or `test`.
        """
        split = load_split(self.config.replace(assets_dir=None), name)
        columns: dict[str, list[str]] = {m.name: [] for m in self.model.modalities}
        for batch in split.dataset.batch(1000).as_numpy_iterator():
            for column, found in columns.items():
                found += [text.decode("utf-8") for text in batch["x"][column]]
        return columns

    def labels(self, name: str) -> np.ndarray:
        """Returns the classes of a split's examples, if the class is not a modality.

        Args:
            name: `train`, `validation` or `test`.

        Returns:
            The classes, int32 `[examples]`.

        Raises:
            UserError: The experiment's data have no such classes.
        """
        return outside_labels(self.config, name)

    def table(self, name: str) -> Table:
        """Returns the rows of a split of a table, with their schema.

        Args:
            name: `train`, `validation` or `test`.

        Raises:
            UserError: The run's data are not a table.
        """
        if self.experiment.table is None:
            raise UserError(f"the data of --experiment={self.experiment.name} are not a table")
        return self.experiment.table(name, **options_of(self.config, self.experiment))

    def schema(self) -> Schema:
        """Returns the schema of a run's table; the table is read only if the run keeps no schema.

        Raises:
            UserError: The run's data are not a table, or a file cannot be read.
        """
        return kept_schema(self.config.assets_dir) or self.table("train").schema

    def batches(self, split: str, batch_size: int, seed: int = 0) -> tf.data.Dataset:
        """Returns checked batches of a split in a fixed order; the last may be smaller.

        Args:
            split: `train`, `validation` or `test`.
            batch_size: Examples per batch.
            seed: Seed of random transformations of the examples, such as binarisation. With the
                same seed, all runs see the same data.
        """
        batches = evaluation_batches(self.split(split), batch_size, seed)
        return check_dataset(batches, self.model.batch_inputs)


def load_run(
    run_dir: str | pathlib.Path,
    checkpoint: str = "best",
    data_dir: str | None = None,
    dataset_dir: str | None = None,
    latents: str = "sampler",
) -> Run:
    """Loads the model of a run, which may still be in progress.

    Args:
        run_dir: The run directory.
        checkpoint: `'best'` on the validation split, or `'last'`.
        data_dir: Data directory, if it differs from the run's.
        dataset_dir: Directory of the data set, if it differs from the run's `dataset_dir`.
        latents: Distribution of the model's latents: `'sampler'`, the run's sampler if it has one
            for this checkpoint, else the model's default; `'posterior'`, `'product'` or
            `'refined'` (see `GenerativeModel.generate`).

    Raises:
        UserError: There is no run, it has no complete checkpoint yet, or a `dataset_dir` is given
            and the run has none.

    Example:
    ```python
    run = load_run("runs/quickstart")
    run.model.sample(4)["image"]
    ```
    """
    directory = RunDirectory(run_dir)
    config = with_assets(directory.config(), directory)
    if data_dir:
        config = config.replace(data_dir=data_dir)
    if dataset_dir:
        own = config.get("dataset_dir")
        if not may_be_one(own, dataset_dir):
            raise UserError(
                f"--dataset_dir={dataset_dir} is not the data set of run {directory.path}: "
                f"{f'give {own}' if own else 'it has none, remove the flag'}"
            )
        config = config.replace(dataset_dir=dataset_dir)
    model = build_model(config, steps_per_epoch=1)
    position = Checkpoints(directory.checkpoints, model).restore(checkpoint, model_only=True)
    if position is None:
        raise UserError(f"run {directory.path} has no checkpoint yet; continue its training")
    if latents == "sampler":
        attach_run_sampler(directory, model, position.step)
    elif latents != model.posterior_kind.default_latents:
        model.default_latents = latents
    experiment = registry.get(config.experiment)
    return Run(directory.path, config, experiment, model, position.step, position.metrics)
