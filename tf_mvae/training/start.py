"""Finds the position at which a run starts: its beginning, its newest checkpoint, or its end.

If several processes train together, the chief reads the run's directory and shares the position.
"""

from tf_mvae.errors import UserError
from tf_mvae.training.assets import keep_assets
from tf_mvae.training.checkpoints import Checkpoints, Position
from tf_mvae.training.config import RunConfig
from tf_mvae.training.replicas import Replicas
from tf_mvae.training.run_directory import SAMPLER_SETTINGS, RunDirectory

__all__ = ["start_of_chief", "start_of_run"]

_GO, _FINISHED, _FAILED = range(3)


def start_of_run(
    config: RunConfig,
    directory: RunDirectory,
    checkpoints: Checkpoints,
    resume: bool,
    replicas: Replicas | None = None,
) -> Position | None:
    """Locks the directory and restores the newest checkpoint.

    Args:
        config: The run's configuration.
        directory: The run's directory.
        checkpoints: The run's checkpoints.
        resume: Whether an existing run may be continued.
        replicas: The chief's replicas, if several replicas train; the other processes get the
            position.

    Returns:
        The position at which training begins, or None if the run is finished.

    Raises:
        UserError: The directory is not usable, or has another run.
    """
    if replicas is None:
        return _take_up(config, directory, checkpoints, resume)
    try:
        start = _take_up(config, directory, checkpoints, resume)
    except Exception:
        replicas.share([_FAILED, 0, 0, 0])
        raise
    here = start or Position()
    status = _FINISHED if start is None else _GO
    replicas.share([status, here.step, here.epoch, here.step_in_epoch])
    return start


def start_of_chief(replicas: Replicas) -> Position | None:
    """Returns the result of `start_of_run` in the chief; other processes call this.

    Args:
        replicas: The replicas of this process.

    Raises:
        UserError: The chief failed.
    """
    status, *place = replicas.share([0, 0, 0, 0])
    if status == _FAILED:
        raise UserError("the chief could not start; see its error message")
    return None if status == _FINISHED else Position(*place)


def _take_up(
    config: RunConfig, directory: RunDirectory, checkpoints: Checkpoints, resume: bool
) -> Position | None:
    directory.claim(config, resume)
    keep_assets(config, directory)
    summary = directory.summary()
    was = directory.config()
    asked, had = ([c.get(name) for name in SAMPLER_SETTINGS] for c in (config, was))
    wants_sampler = config.sampler_epochs > 0 and asked != had
    if summary is not None and summary["epochs"] == config.epochs and not wants_sampler:
        return None
    start = checkpoints.restore()
    if start is None and summary is not None:
        raise UserError(
            f"the run in {directory.path} is finished and has no checkpoint to continue from; "
            "choose another --run_dir"
        )
    start = start or Position()
    directory.go_on(config, start.epoch + bool(start.step_in_epoch))
    if start.step:
        here = f"epoch {start.epoch + 1}" if start.epoch < config.epochs else "after the last epoch"
        print(f"continuing from step {start.step} ({here})")
    directory.keep_metrics(start.epoch)
    return start
