"""A run: its model, its data, and how to load it again."""

import dataclasses
import pathlib

import keras
import tensorflow as tf

from tf_mvae.data import contract
from tf_mvae.data.pipeline import Split, evaluation_batches
from tf_mvae.errors import UserError
from tf_mvae.experiments import registry
from tf_mvae.models import MVAE, LinearAnnealing, MultimodalVAE
from tf_mvae.training.checkpoints import Checkpoints
from tf_mvae.training.config import RunConfig
from tf_mvae.training.run_directory import RunDirectory

__all__ = ["Run", "build_model", "load_run"]


@dataclasses.dataclass(frozen=True)
class Run:
    """A run, loaded.

    Attributes:
        directory: The run directory's path.
        config: Its configuration.
        experiment: Its experiment.
        model: Its model, with a checkpoint's weights.
        checkpoint_step: The optimizer step of that checkpoint.
    """

    directory: pathlib.Path
    config: RunConfig
    experiment: registry.Experiment
    model: MultimodalVAE
    checkpoint_step: int

    def split(self, name: str) -> Split:
        """Returns the examples of `train`, `validation` or `test`."""
        return self.experiment.load(name, self.config.data_dir)

    def batches(self, split: str, batch_size: int) -> tf.data.Dataset:
        """Returns checked batches of a split in a fixed order; the last may be smaller."""
        batches = evaluation_batches(self.split(split), batch_size, self.config.seed)
        return contract.check_dataset(batches, self.model.modalities)


def build_model(config: RunConfig, steps_per_epoch: int) -> MultimodalVAE:
    """Builds and compiles the model that a configuration describes.

    Args:
        config: The run's configuration.
        steps_per_epoch: For the annealing of the KL weight and the learning rate.

    Raises:
        UserError: The configuration does not fit the experiment.
    """
    keras.utils.set_random_seed(config.seed)
    experiment = registry.get(config.experiment)
    modalities = experiment.modalities(config.likelihood_weight, config.cross_weight)
    names = {modality.name for modality in modalities}
    for flag in ("likelihood_weight", "cross_weight"):
        for name in getattr(config, flag):
            if name not in names:
                raise UserError(f"--{flag} names {name!r}; the modalities are {sorted(names)}")
    try:
        model = MVAE(
            modalities,
            config.latent_dim,
            num_random_subsets=config.num_random_subsets,
            subset_distribution=config.subset_distribution,
            kl_weight=LinearAnnealing(config.annealing_epochs * steps_per_epoch),
            num_samples=config.num_samples,
            seed=config.seed,
            name=config.model,
        )
    except ValueError as error:
        raise UserError(str(error)) from error
    rate = config.learning_rate
    if config.learning_rate_schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, config.epochs * steps_per_epoch)
    model.compile(keras.optimizers.Adam(rate), jit_compile=config.jit_compile)
    model.optimizer.build(model.trainable_variables)
    return model


def load_run(
    run_dir: str | pathlib.Path, checkpoint: str = "best", data_dir: str | None = None
) -> Run:
    """Loads a run's model, also of a run that is still going on.

    Args:
        run_dir: The run directory.
        checkpoint: `'best'` on the validation split, or `'last'`.
        data_dir: Where the data are, if not where the run had them.

    Raises:
        UserError: There is no run, or it has no whole checkpoint yet.

    Example:
    ```python
    run = load_run("runs/quickstart")
    run.model.sample(4)["image"]
    ```
    """
    directory = RunDirectory(run_dir)
    config = directory.config()
    if data_dir:
        config = dataclasses.replace(config, data_dir=data_dir)
    model = build_model(config, steps_per_epoch=1)
    position = Checkpoints(directory.checkpoints, model).restore(checkpoint, model_only=True)
    if position is None:
        raise UserError(f"run {directory.path} has no checkpoint yet; train it further")
    experiment = registry.get(config.experiment)
    return Run(directory.path, config, experiment, model, position.step)
