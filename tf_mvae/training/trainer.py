"""Trains a run to its end, from the beginning or from its newest checkpoint."""

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from absl import logging

from tf_mvae import checks, failures
from tf_mvae.data.pipeline import CACHE_BYTES, Split, evaluation_batches
from tf_mvae.data.sharding import WHOLE
from tf_mvae.errors import UserError
from tf_mvae.models import BaseVAE
from tf_mvae.settings import Setting
from tf_mvae.training.agreement import check_agreement, of_chief, settings_that_matter
from tf_mvae.training.assets import run_assets
from tf_mvae.training.averages import AveragedWeights
from tf_mvae.training.build import build_model, resolved
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
from tf_mvae.training.splits import load_split
from tf_mvae.training.start import start_of_chief, start_of_run
from tf_mvae.training.trackers import Trackers

__all__ = ["SETTINGS", "train"]

_FEWEST_EXAMPLES = 10  # that a smaller batch is of any use for

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
    """Trains a run, or continues it, and writes checkpoints and results to its directory.

    A finished run is not changed.

    Args:
        config: The experiment, the model and the settings.
        run_dir: The run directory. If several processes train together, only the chief uses it.
        resume: Whether an existing run is continued; otherwise it is an error.
        checkpoint_steps: Steps between checkpoints within an epoch.
        picture_epochs: Epochs between pictures in TensorBoard.
        keep_checkpoints: The number of newest checkpoints to keep, in addition to the best.
        strategy: The devices and processes to train on, from `tf_mvae.training.make_strategy`;
            default: one device. The result does not depend on their number, except for
            rounding, and a run may be continued with another number.
        cache_bytes: The largest size of a split, in bytes, that is kept in memory.
        data_services: Addresses of `tf.data` services; see `tf_mvae.training.feeding.Feed`.
        trackers: The trackers to log each epoch's metrics to: `tensorboard`, `mlflow`, `wandb`.

    Returns:
        The run's summary, the content of `finished.json`; empty in processes that do not write it.

    Raises:
        UserError: The data, the directory or the configuration is not usable, or the disk
            or the memory is full.
        Diverged: A loss, a weight or the optimizer's state is not finite (a `UserError`).
        LostWorker: Another process of the run has ended.
        Stopped: A signal stopped the training, and a checkpoint has been written.

    Example:
    ```python
    config = RunConfig("digits", epochs=1, latent_dim=8)
    summary = train(config, "runs/digits")
    summary["best_checkpoint"]["metrics"]["val_elbo"]  # in nats per example
    ```
    """
    directory = RunDirectory(run_dir)
    pace = (checkpoint_steps, picture_epochs, keep_checkpoints)
    options = _Options(resume, *pace, strategy, cache_bytes, data_services, trackers)
    kept = f"the files in {directory.path} are kept, and the same command continues from there"
    with (
        failures.named(kept),
        lost_workers_named(_has_processes(strategy)),
        contextlib.closing(directory),
        run_assets(config, directory) as config,
    ):
        return _train(config, directory, options)


@dataclasses.dataclass(frozen=True)
class _Options:
    """Options of training that do not affect its result; see `train`."""

    resume: bool
    checkpoint_steps: int
    picture_epochs: int
    keep_checkpoints: int
    strategy: tf.distribute.Strategy | None
    cache_bytes: int
    data_services: Sequence[str]
    trackers: Sequence[str]


def _train(config: RunConfig, directory: RunDirectory, options: _Options) -> dict[str, Any]:
    """Trains a run whose assets have been made."""
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
    if _has_processes(strategy):  # an existing run keeps its choice, which only the chief knows
        (compiled,) = of_chief(strategy, [int(config.jit_compile)])
        config = config.replace(jit_compile=bool(compiled))
    _make_repeatable(config)
    if strategy is None:
        trained = model = make_model(config)
    else:
        trained = Replicas(strategy, lambda: make_model(config))
        model = trained.models[0]
        feed = dataclasses.replace(feed, part=trained.part)
    model.check_free_bits()
    if config.sampler_epochs:
        model.check_takes_sampler()
    if strategy is None or trained.is_chief:
        return _lead(config, directory, trained, feed, options)
    _follow(config, trained, feed, options)
    return {}


def _make_model(config: RunConfig, feed: Feed, is_alone: bool) -> BaseVAE:
    """Returns a compiled model; a single replica gets the masks that every batch has, if known."""
    model = build_model(config, feed.steps_per_epoch)
    composition = batch_composition(config, feed.splits["train"])
    if composition is not None and is_alone:  # a replica's part of a batch has other masks
        model.expect(mask_of_batch(composition))
    return model


def _follow(config: RunConfig, replicas: Replicas, feed: Feed, options: _Options) -> None:
    """Trains as a process other than the chief, which writes nothing."""
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
    """Trains as the only process or the chief; writes results and returns the run's summary."""
    replicas = trained if isinstance(trained, Replicas) else None
    models = [trained] if replicas is None else replicas.models
    checkpoints = Checkpoints(directory.checkpoints, models[0], options.keep_checkpoints)
    start = start_of_run(config, directory, checkpoints, options.resume, replicas)
    if start is None:
        print(f"the run in {directory.path} is finished already; nothing to do")
        return directory.summary()
    test_batch = next(iter(evaluation_batches(feed.splits["test"], 100, config.seed)))
    each = feed.steps_per_epoch
    _warn_of_late_self_training(config, config.epochs * each)
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
        config.epochs,
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


def _warn_of_late_self_training(config: RunConfig, steps: int) -> None:
    """Logs a warning if a run of so many steps ends before its self-training begins."""
    if config.get("self_training") and steps <= config.self_training_start:
        logging.warning(
            "--self_training has no effect: it begins after %d steps, and the run has %d; lower "
            "--self_training_start or raise --epochs",
            config.self_training_start,
            steps,
        )


def _averaging(config: RunConfig, models: list[BaseVAE]) -> list[keras.callbacks.Callback]:
    """Returns the callback that validates with averaged weights, if `ema` is set."""
    return [AveragedWeights(models)] if config.ema else []


def _has_processes(strategy: tf.distribute.Strategy | None) -> bool:
    """Returns whether several processes train together."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def _make_repeatable(config: RunConfig) -> None:
    """Makes TensorFlow's operations deterministic if XLA does not compile them.

    A step that XLA compiles is deterministic on a CPU anyway, and Keras does not allow both.
    """
    if config.jit_compile is False:
        tf.config.experimental.enable_op_determinism()


def _check_batch_size(
    config: RunConfig, split: Split, strategy: tf.distribute.Strategy | None
) -> None:
    """Checks that there is a complete batch, and that replicas can divide it equally."""
    number = split.num_examples
    if not split.steps_per_epoch(config.batch_size) and number < _FEWEST_EXAMPLES:
        raise UserError(
            f"the training split has {number} example{'s' * (number != 1)}, too few to learn from; "
            "add examples: models of tables take a hundred or more"
        )
    if not split.steps_per_epoch(config.batch_size):
        raise UserError(
            f"the training split has {number} examples, less than one batch "
            f"of {config.batch_size}; lower --batch_size"
        )
    if strategy is not None and config.batch_size % strategy.num_replicas_in_sync:
        raise UserError(
            f"--batch_size={config.batch_size} is divided among {strategy.num_replicas_in_sync} "
            "replicas; give a multiple of their number"
        )


def _fit(
    trained: BaseVAE | Replicas,
    feed: Feed,
    writer: CheckpointWriter,
    callbacks: list[keras.callbacks.Callback],
) -> None:
    """Trains to the end of the run."""

    def choose_steps_per_program(steps: int) -> None:
        number = steps_per_program(feed.config, steps, trained.jit_compile)
        if number != trained.steps_per_execution:
            trained.steps_per_execution, trained.train_function = number, None

    alone = isinstance(trained, BaseVAE)
    prepare = choose_steps_per_program if alone else lambda steps: None
    fit_to_end(trained, feed, writer, callbacks, prepare)
