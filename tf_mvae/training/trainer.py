"""Training a run to its end, from wherever it stands."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mvae import checks, failures
from tf_mvae.data.pipeline import CACHE_BYTES, Split, evaluation_batches
from tf_mvae.data.sharding import WHOLE
from tf_mvae.errors import UserError
from tf_mvae.models import BaseVAE
from tf_mvae.settings import Setting
from tf_mvae.training.agreement import check_agreement, of_chief, settings_that_matter
from tf_mvae.training.assets import keep_assets, run_assets
from tf_mvae.training.averages import AveragedWeights
from tf_mvae.training.build import build_model, load_split, resolved
from tf_mvae.training.callbacks import CheckpointWriter, MetricsWriter, Progress
from tf_mvae.training.checkpoints import Checkpoints, Position
from tf_mvae.training.compilation import steps_per_program, with_jit_chosen
from tf_mvae.training.config import RunConfig
from tf_mvae.training.feeding import Feed
from tf_mvae.training.finishing import draw, finish, tell
from tf_mvae.training.incomplete import batch_composition, incomplete_split, mask_of_batch
from tf_mvae.training.loop import fit_to_end
from tf_mvae.training.replicas import Replicas, lost_workers_named
from tf_mvae.training.run_directory import RunDirectory
from tf_mvae.training.trackers import Trackers

__all__ = ["SETTINGS", "train"]

SETTINGS = (
    Setting("epochs", 20, "Passes over the training split.", checks.positive_integer),
    Setting(
        "checkpoint_steps",
        1000,
        "Steps between checkpoints within an epoch.",
        checks.positive_integer,
        is_recorded=False,
    ),
    Setting(
        "picture_epochs",
        10,
        "Epochs between pictures in TensorBoard.",
        checks.positive_integer,
        is_recorded=False,
    ),
    Setting(
        "keep_checkpoints",
        2,
        "Newest checkpoints to keep, next to the best.",
        checks.positive_integer,
        is_recorded=False,
    ),
)


def train(
    config: RunConfig,
    run_dir: str | pathlib.Path,
    resume: bool = True,
    checkpoint_steps: int = 1000,
    picture_epochs: int = 10,
    keep_checkpoints: int = 2,
    strategy: tf.distribute.Strategy | None = None,
    cache_bytes: int = CACHE_BYTES,
    data_services: Sequence[str] = (),
    trackers: Sequence[str] = ("tensorboard",),
) -> dict[str, Any]:
    """Trains a run, or goes on with it, and leaves everything in its directory.

    A finished run is left as it is.

    Args:
        config: What to run.
        run_dir: Where. Of processes that train together only the chief uses it.
        resume: Whether a run that is there may be taken up.
        checkpoint_steps: Steps between checkpoints within an epoch.
        picture_epochs: Epochs between pictures in TensorBoard.
        keep_checkpoints: How many of the newest checkpoints to keep, in addition to the best.
        strategy: Of `tf_mvae.training.make_strategy`: the devices and processes to train
            on, one device where None. A run is the same on any number of them, but for
            rounding, and may go on with another.
        cache_bytes: A split is kept in memory if it takes no more than this.
        data_services: See `tf_mvae.training.feeding.Feed`.
        trackers: Names of trackers that get each epoch's metrics: `tensorboard`, `mlflow`, `wandb`.

    Returns:
        The run's summary, what `finished.json` holds; nothing where another process writes.

    Raises:
        UserError: The data, the directory or the configuration is not usable, or the disk
            or the memory is full.
        Diverged: A loss, a weight or the optimizer's state is not finite (a `UserError`).
        LostWorker: A process that trained together with this one is gone.
        Stopped: A signal asked to stop; a checkpoint has been written.
    """
    directory = RunDirectory(run_dir)
    pace = (checkpoint_steps, picture_epochs, keep_checkpoints)
    kept = f"what {directory.path} holds is kept, and the same command goes on from there"
    with (
        failures.named(kept),
        lost_workers_named(_has_processes(strategy)),
        contextlib.closing(directory),
        run_assets(config, directory) as config,
    ):
        return _train(
            config, directory, resume, *pace, strategy, cache_bytes, data_services, trackers
        )


def _train(
    config: RunConfig,
    directory: RunDirectory,
    resume: bool,
    checkpoint_steps: int,
    picture_epochs: int,
    keep_checkpoints: int,
    strategy: tf.distribute.Strategy | None,
    cache_bytes: int,
    data_services: Sequence[str],
    trackers: Sequence[str],
) -> dict[str, Any]:
    """Trains a run whose assets are there."""
    _make_repeatable(config)
    config = resolved(config, directory.config() if directory.flags.exists() else None)
    splits = {name: incomplete_split(config, name) for name in ("train", "validation")}
    splits["test"] = load_split(config, "test")
    steps_per_epoch = _steps_per_epoch(config, splits["train"], strategy)

    def make_model(config: RunConfig) -> BaseVAE:
        model = build_model(config, steps_per_epoch)
        composition = batch_composition(config, splits["train"])
        if composition is not None and strategy is None:  # a replica's part has another one
            model.expect(mask_of_batch(composition))
        return model

    if _has_processes(strategy):
        check_agreement(strategy, settings_that_matter(config, splits, checkpoint_steps))
    feed = Feed(config, splits, WHOLE, cache_bytes, data_services)
    config = with_jit_chosen(config, directory, make_model, feed.first, strategy is not None)
    if _has_processes(strategy):  # the chief's run may have chosen it before
        (compiled,) = of_chief(strategy, [int(config.jit_compile)])
        config = config.replace(jit_compile=bool(compiled))
    _make_repeatable(config)
    if strategy is None:
        trained = model = make_model(config)
    else:
        trained = Replicas(strategy, lambda: make_model(config))
        model = trained.models[0]
        feed = dataclasses.replace(feed, part=trained.part)
    if config.sampler_epochs:
        model.check_takes_sampler()
    if strategy is not None and not trained.is_chief:
        start = _told_by_chief(trained)
        if start is not None:
            stop = trained.stop
            writer = CheckpointWriter(None, start, steps_per_epoch, checkpoint_steps, stop)
            _fit(trained, feed, writer, _averaging(config, trained.models))
        return {}
    checkpoints = Checkpoints(directory.checkpoints, model, keep_checkpoints)
    if strategy is None:
        start = _take_up(config, directory, checkpoints, resume)
    else:
        start = _take_up_together(config, directory, checkpoints, resume, trained)
    if start is None:
        print(f"this run is finished; nothing to do: {directory.path}")
        return directory.summary()
    test_batch = next(iter(evaluation_batches(splits["test"], 100, config.seed)))
    writer = CheckpointWriter(
        checkpoints, start, steps_per_epoch, checkpoint_steps, strategy and trained.stop
    )
    progress = Progress(config.epochs * steps_per_epoch, start, config.epochs)
    tracked = Trackers(trackers, directory.path, config)
    metrics = MetricsWriter(
        directory,
        lambda: draw(model, test_batch, config),
        picture_epochs,
        steps_per_epoch,
        lambda: tell(model, test_batch, config.seed),
        tracked,
    )
    averaging = _averaging(config, [model] if strategy is None else trained.models)
    try:
        _fit(trained, feed, writer, [progress, metrics, *averaging])
    finally:
        progress.close()
        checkpoints.close()
        tracked.close()
    checkpoints.join()
    steps = config.epochs * steps_per_epoch
    return finish(
        config, directory, model, checkpoints, test_batch, steps, checkpoint_steps, cache_bytes
    )


def _has_processes(strategy: tf.distribute.Strategy | None) -> bool:
    """Says whether several processes train together."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def _make_repeatable(config: RunConfig) -> None:
    """Makes operations repeatable where XLA is known not to compile them.

    Under XLA a step is repeatable on a CPU as it is, and Keras refuses to combine the two.
    """
    if config.jit_compile is False:
        tf.config.experimental.enable_op_determinism()


def _steps_per_epoch(
    config: RunConfig, split: Split, strategy: tf.distribute.Strategy | None
) -> int:
    steps = split.steps_per_epoch(config.batch_size)
    if not steps:
        raise UserError(
            f"the training split has {split.num_examples} examples, less than one batch "
            f"of {config.batch_size}; lower --batch_size"
        )
    if strategy is not None and config.batch_size % strategy.num_replicas_in_sync:
        raise UserError(
            f"--batch_size={config.batch_size} is that of all {strategy.num_replicas_in_sync} "
            "replicas together, and has to be a multiple of their number"
        )
    return steps


def _averaging(config: RunConfig, models: list[BaseVAE]) -> list[keras.callbacks.Callback]:
    return [AveragedWeights(models)] if config.ema else []


def _take_up(
    config: RunConfig, directory: RunDirectory, checkpoints: Checkpoints, resume: bool
) -> Position | None:
    """Takes the directory and restores the newest checkpoint; None where the run is finished."""
    directory.claim(config, resume)
    keep_assets(config, directory)
    summary = directory.summary()
    wants_sampler = config.sampler_epochs not in (0, directory.config().sampler_epochs)
    if summary is not None and summary["epochs"] == config.epochs and not wants_sampler:
        return None
    start = checkpoints.restore()
    if start is None and summary is not None:
        raise UserError(
            f"the run in {directory.path} is finished and has no checkpoint to go on from; choose "
            "another --run_dir"
        )
    start = start or Position()
    directory.go_on(config, start.epoch + bool(start.step_in_epoch))
    if start.step:
        print(f"going on from step {start.step} (epoch {start.epoch + 1})")
    directory.keep_metrics(start.epoch)
    return start


_GO, _FINISHED, _FAILED = range(3)


def _take_up_together(
    config: RunConfig,
    directory: RunDirectory,
    checkpoints: Checkpoints,
    resume: bool,
    replicas: Replicas,
) -> Position | None:
    """Does so as the chief, and informs the other processes."""
    try:
        start = _take_up(config, directory, checkpoints, resume)
    except Exception:
        replicas.share([_FAILED, 0, 0, 0])
        raise
    here = start or Position()
    status = _FINISHED if start is None else _GO
    replicas.share([status, here.step, here.epoch, here.step_in_epoch])
    return start


def _told_by_chief(replicas: Replicas) -> Position | None:
    """Returns where the run stands; None where it is finished."""
    status, *place = replicas.share([0, 0, 0, 0])
    if status == _FAILED:
        raise UserError("the chief could not begin; see what it says")
    return None if status == _FINISHED else Position(*place)


def _fit(
    trained: BaseVAE | Replicas,
    feed: Feed,
    writer: CheckpointWriter,
    callbacks: list[keras.callbacks.Callback],
) -> None:
    """Trains to the very end."""

    def choose_steps_per_program(steps: int) -> None:
        number = steps_per_program(feed.config, steps, trained.jit_compile)
        if number != trained.steps_per_execution:
            trained.steps_per_execution, trained.train_function = number, None

    alone = isinstance(trained, BaseVAE)
    prepare = choose_steps_per_program if alone else lambda steps: None
    fit_to_end(trained, feed, writer, callbacks, prepare)
