"""Fits a latent sampler to a trained run."""

import contextlib
import pathlib

from tf_mvae import failures
from tf_mvae.data.pipeline import evaluation_batches
from tf_mvae.training.checkpoints import Position
from tf_mvae.training.finishing import write_results
from tf_mvae.training.run import load_run
from tf_mvae.training.run_directory import RunDirectory
from tf_mvae.training.sampler import SamplerSettings, fit_run_sampler
from tf_mvae.training.splits import load_split

__all__ = ["fit_sampler_of_run"]


def fit_sampler_of_run(
    run_dir: str | pathlib.Path,
    settings: SamplerSettings,
    data_dir: str | None = None,
    dataset_dir: str | None = None,
    checkpoint_steps: int = 1000,
) -> pathlib.Path:
    """Fits a latent sampler to a run's best checkpoint, or continues an interrupted fit.

    If the run is finished, its pictures, `model.keras` and SavedModel are written again, with
    the sampler.

    Args:
        run_dir: The run directory.
        settings: The settings of the fit.
        data_dir: Data directory, if it differs from the run's.
        dataset_dir: Directory of the data set, if it differs from the run's `dataset_dir`.
        checkpoint_steps: Steps between checkpoints within an epoch.

    Returns:
        The sampler's folder.

    Raises:
        UserError: There is no run, no checkpoint or no data, another process has locked the
            directory, or the model does not support a sampler.
        Stopped: A signal asked to stop; a checkpoint has been written.
    """
    run = load_run(run_dir, "best", data_dir, dataset_dir, "posterior")
    run.model.default_latents = None  # the sampler, as soon as there is one
    directory = RunDirectory(run_dir)
    kept = f"the files in {directory.path} are kept, and the same command continues from there"
    with failures.named(kept), contextlib.closing(directory):
        directory.claim(directory.config(), resume=True)
        step = run.checkpoint_step
        fit_run_sampler(run.config, directory, run.model, step, settings, checkpoint_steps)
        if directory.summary() is not None:
            batches = evaluation_batches(load_split(run.config, "test"), 100, run.config.seed)
            best = Position(**directory.summary()["best_checkpoint"])
            write_results(run.config, directory, run.model, best, next(iter(batches)))
    return directory.sampler
