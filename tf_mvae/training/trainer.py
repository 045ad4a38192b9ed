"""Training a run to its end, from wherever it stands."""

import contextlib
import dataclasses
import functools
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
from tf_mvae.training.assets import run_assets
from tf_mvae.training.averages import AveragedWeights
from tf_mvae.training.build import build_model, load_split, resolved
from tf_mvae.training.callbacks import CheckpointWriter, MetricsWriter, Progress
from tf_mvae.training.checkpoints import Checkpoints
from tf_mvae.training.compilation import steps_per_program, with_jit_chosen
from tf_mvae.training.config import RunConfig
from tf_mvae.training.feeding import Feed
from tf_mvae.training.finishing import draw, finish, tell
from tf_mvae.training.incomplete import batch_composition, incomplete_split, mask_of_batch
from tf_mvae.training.loop import fit_to_end
from tf_mvae.training.replicas import Replicas, lost_workers_named
from tf_mvae.training.run_directory import RunDirectory
from tf_mvae.training.start import start_of_chief, start_of_run
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
    options = _Options(resume, *pace, strategy, cache_bytes, data_services, trackers)
    kept = f"what {directory.path} holds is kept, and the same command goes on from there"
    with (
        failures.named(kept),
        lost_workers_named(_has_processes(strategy)),
        contextlib.closing(directory),
        run_assets(config, directory) as config,
    ):
        return _train(config, directory, options)


@dataclasses.dataclass(frozen=True)
class _Options:
    """How a run is trained, which changes nothing of its result; see `train`."""

    resume: bool
    checkpoint_steps: int
    picture_epochs: int
    keep_checkpoints: int
    strategy: tf.distribute.Strategy | None
    cache_bytes: int
    data_services: Sequence[str]
    trackers: Sequence[str]


def _train(config: RunConfig, directory: RunDirectory, options: _Options) -> dict[str, Any]:
    """Trains a run whose assets are there."""
    strategy = options.strategy
    _make_repeatable(config)
    config = resolved(config, directory.config() if directory.flags.exists() else None)
    splits = {name: incomplete_split(config, name) for name in ("train", "validation")}
    splits["test"] = load_split(config, "test")
    _check_batch_size(config, splits["train"], strategy)
    if _has_processes(strategy):
        check_agreement(strategy, settings_that_matter(config, splits, options.checkpoint_steps))
    feed = Feed(config, splits, WHOLE, options.cache_bytes, options.data_services)
    make_model = functools.partial(_make_model, feed=feed, is_alone=strategy is None)
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
    if strategy is None or trained.is_chief:
        return _lead(config, directory, trained, feed, options)
    _follow(config, trained, feed, options)
    return {}


def _make_model(config: RunConfig, feed: Feed, is_alone: bool) -> BaseVAE:
    """Returns a compiled model, which expects the batches' masks if it is the only replica."""
    model = build_model(config, feed.steps_per_epoch)
    composition = batch_composition(config, feed.splits["train"])
    if composition is not None and is_alone:  # a replica's part has another one
        model.expect(mask_of_batch(composition))
    return model


def _follow(config: RunConfig, replicas: Replicas, feed: Feed, options: _Options) -> None:
    """Trains together with a chief that writes."""
    start = start_of_chief(replicas)
    if start is None:
        return
    writer = CheckpointWriter(
        None, start, feed.steps_per_epoch, options.checkpoint_steps, replicas.stop
    )
    _fit(replicas, feed, writer, _averaging(config, replicas.models))


def _lead(
    config: RunConfig,
    directory: RunDirectory,
    trained: BaseVAE | Replicas,
    feed: Feed,
    options: _Options,
) -> dict[str, Any]:
    """Trains as the process that writes; returns the run's summary."""
    replicas = trained if isinstance(trained, Replicas) else None
    models = [trained] if replicas is None else replicas.models
    checkpoints = Checkpoints(directory.checkpoints, models[0], options.keep_checkpoints)
    start = start_of_run(config, directory, checkpoints, options.resume, replicas)
    if start is None:
        print(f"this run is finished; nothing to do: {directory.path}")
        return directory.summary()
    test_batch = next(iter(evaluation_batches(feed.splits["test"], 100, config.seed)))
    each = feed.steps_per_epoch
    writer = CheckpointWriter(
        checkpoints, start, each, options.checkpoint_steps, replicas and replicas.stop
    )
    progress = Progress(config.epochs * each, start, config.epochs)
    tracked = Trackers(options.trackers, directory.path, config)
    metrics = MetricsWriter(
        directory,
        lambda: draw(models[0], test_batch, config),
        options.picture_epochs,
        each,
        lambda: tell(models[0], test_batch, config.seed),
        tracked,
    )
    try:
        _fit(trained, feed, writer, [progress, metrics, *_averaging(config, models)])
    finally:
        progress.close()
        checkpoints.close()
        tracked.close()
    checkpoints.join()
    pace = (config.epochs * each, options.checkpoint_steps, options.cache_bytes)
    return finish(config, directory, models[0], checkpoints, test_batch, *pace)


def _averaging(config: RunConfig, models: list[BaseVAE]) -> list[keras.callbacks.Callback]:
    return [AveragedWeights(models)] if config.ema else []


def _has_processes(strategy: tf.distribute.Strategy | None) -> bool:
    """Says whether several processes train together."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def _make_repeatable(config: RunConfig) -> None:
    """Makes operations repeatable where XLA is known not to compile them.

    Under XLA a step is repeatable on a CPU as it is, and Keras refuses to combine the two.
    """
    if config.jit_compile is False:
        tf.config.experimental.enable_op_determinism()


def _check_batch_size(
    config: RunConfig, split: Split, strategy: tf.distribute.Strategy | None
) -> None:
    """Raises UserError if there is no whole batch, or replicas cannot share one equally."""
    if not split.steps_per_epoch(config.batch_size):
        raise UserError(
            f"the training split has {split.num_examples} examples, less than one batch "
            f"of {config.batch_size}; lower --batch_size"
        )
    if strategy is not None and config.batch_size % strategy.num_replicas_in_sync:
        raise UserError(
            f"--batch_size={config.batch_size} is that of all {strategy.num_replicas_in_sync} "
            "replicas together, and has to be a multiple of their number"
        )


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
