"""The sampler of a run: fitted to its best checkpoint, kept next to it, attached to its model."""

import dataclasses
import json
import pathlib
import shutil
from typing import Any

import keras
from absl import logging

from tf_mvae import checks, files
from tf_mvae.data.pipeline import CACHE_BYTES
from tf_mvae.errors import UserError
from tf_mvae.models import BaseVAE
from tf_mvae.samplers import (
    CouplingFlow,
    MixtureDensity,
    MixtureFlow,
    SamplerTrainer,
    make_optimizer,
)
from tf_mvae.settings import Setting
from tf_mvae.training.callbacks import CheckpointWriter, Progress
from tf_mvae.training.checkpoints import Checkpoints, Position
from tf_mvae.training.config import RunConfig
from tf_mvae.training.feeding import Feed
from tf_mvae.training.incomplete import incomplete_split
from tf_mvae.training.loop import fit_to_end
from tf_mvae.training.run_directory import RunDirectory

__all__ = ["KINDS", "SETTINGS", "SamplerSettings", "attach_run_sampler", "fit_run_sampler"]

SETTINGS = (
    Setting(
        "sampler_epochs",
        0,
        "Passes over the training split that fit a sampler p(z | S) to the trained model, which "
        "then generates from it; 0 is none.",
        checks.non_negative_integer,
        is_free=True,
    ),
    Setting(
        "sampler_kind",
        "mixture_flow",
        "The sampler's density: mixture_flow and coupling_flow are normalizing flows of many "
        "Gaussians and of one; mixture_density is quicker, and simpler.",
        choices=("coupling_flow", "mixture_density", "mixture_flow"),
        is_free=True,
    ),
)

KINDS = {
    "coupling_flow": CouplingFlow,
    "mixture_density": MixtureDensity,
    "mixture_flow": MixtureFlow,
}


@dataclasses.dataclass(frozen=True)
class SamplerSettings:
    """How a run's sampler is fitted.

    Attributes:
        epochs: Passes over the training split.
        batch_size: Examples a step, at most.
        learning_rate: Adam's; it falls to 0 along half a cosine.
        kind: One of `KINDS`.
        seed: Of weights, order, latents and subsets.
    """

    epochs: int
    batch_size: int = 256
    learning_rate: float = 2e-3
    kind: str = "mixture_flow"
    seed: int = 0


def fit_run_sampler(
    config: RunConfig,
    directory: RunDirectory,
    model: BaseVAE,
    model_step: int,
    settings: SamplerSettings,
    checkpoint_steps: int = 1000,
    cache_bytes: int = CACHE_BYTES,
) -> None:
    """Fits a sampler to a run's model, or goes on with that, and attaches it.

    It has checkpoints of its own in the run's directory. One that is finished, of the same
    settings and the same model, is attached as it is; one of other settings is replaced.

    Args:
        config: The run's configuration.
        directory: Its directory.
        model: Its model, with the weights of a checkpoint.
        model_step: The step of that checkpoint.
        settings: How to fit.
        checkpoint_steps: Steps between checkpoints within an epoch.
        cache_bytes: A split is kept in memory if it takes no more than this.

    Raises:
        UserError: The data are not usable, or the model has no use for a sampler.
        Stopped: A signal asked to stop; a checkpoint has been written.
    """
    feed = _feed(config, settings, cache_bytes)
    trainer = _make_trainer(config, model, settings, feed.steps_per_epoch)
    record = {"model_step": model_step, "settings": dataclasses.asdict(settings)}
    _begin_or_take_up(directory, record)
    checkpoints = Checkpoints(directory.sampler / "checkpoints", trainer)
    start = checkpoints.restore() or Position()
    if start.epoch < settings.epochs:
        _fit_from(start, trainer, feed, checkpoints, settings, checkpoint_steps)
    best = checkpoints.restore("best", model_only=True)
    sampler = keras.saving.serialize_keras_object(trainer.sampler)
    _write(directory, {**record, "sampler": sampler, "metrics": best.metrics})
    shutil.rmtree(_aside(directory), ignore_errors=True)
    model.set_sampler(trainer.sampler)


def _feed(config: RunConfig, settings: SamplerSettings, cache_bytes: int) -> Feed:
    """Returns a run's batches, in the sizes and the order of its sampler's settings."""
    splits = {name: incomplete_split(config, name) for name in ("train", "validation")}
    size = min(settings.batch_size, splits["train"].num_examples)
    own = config.replace(
        epochs=settings.epochs, batch_size=size, seed=settings.seed, input_streams=1
    )
    return Feed(own, splits, cache_bytes=cache_bytes)


def _make_trainer(
    config: RunConfig, model: BaseVAE, settings: SamplerSettings, steps_per_epoch: int
) -> SamplerTrainer:
    """Returns a trainer of a new sampler, which takes the place of the model's."""
    keras.utils.set_random_seed(settings.seed)
    model.set_sampler(None)
    sizes = {"num_covariates": model.num_covariates} if model.num_covariates else {}
    sampler = KINDS[settings.kind](model.latent_dim, model.num_columns, **sizes)
    trainer = SamplerTrainer(model, sampler, settings.seed)
    optimizer = make_optimizer(settings.learning_rate, steps_per_epoch * settings.epochs)
    trainer.compile(optimizer, jit_compile=bool(config.jit_compile))
    return trainer


def _begin_or_take_up(directory: RunDirectory, record: dict[str, Any]) -> None:
    """Keeps what is there of a sampler with this record, and makes room for it otherwise."""
    found = _record(directory)
    if found is None or {name: found.get(name) for name in record} != record:
        _put_aside(directory, found)
        directory.sampler.mkdir(parents=True)
        _write(directory, record)


def _fit_from(
    start: Position,
    trainer: SamplerTrainer,
    feed: Feed,
    checkpoints: Checkpoints,
    settings: SamplerSettings,
    checkpoint_steps: int,
) -> None:
    """Fits to the end, with checkpoints and a line of progress."""
    _say(settings, start)
    steps = feed.steps_per_epoch
    writer = CheckpointWriter(checkpoints, start, steps, checkpoint_steps)
    shown = ("sampler: -log p(z | S)", "loss")
    progress = Progress(settings.epochs * steps, start, settings.epochs, shown)
    try:
        fit_to_end(trainer, feed, writer, [progress])
    finally:
        progress.close()
        checkpoints.close()
    checkpoints.join()


def attach_run_sampler(directory: RunDirectory, model: BaseVAE, model_step: int) -> bool:
    """Attaches a run's sampler to its model, if there is one for the model's checkpoint.

    Args:
        directory: The run's directory.
        model: Its model, with the weights of a checkpoint.
        model_step: The step of that checkpoint.

    Returns:
        Whether there is one.
    """
    record = _record(directory)
    if record is None or "sampler" not in record:
        if record is not None:
            logging.warning("the sampler in %s is not finished, and is not used", directory.sampler)
        return False
    if record["model_step"] != model_step:
        logging.warning(
            "the sampler in %s was fitted to step %d, not %d, and is not used; fit it again with "
            "python -m tf_mvae.fit_sampler --run_dir=%s",
            directory.sampler,
            record["model_step"],
            model_step,
            directory.path,
        )
        return False
    sampler = keras.saving.deserialize_keras_object(record["sampler"])
    trainer = SamplerTrainer(model, sampler)
    trainer.compile(make_optimizer(1.0, 1), jit_compile=False)
    checkpoints = Checkpoints(directory.sampler / "checkpoints", trainer)
    if checkpoints.restore("best", model_only=True) is None:
        raise UserError(
            f"{directory.sampler} has no checkpoint; remove it and fit the sampler again"
        )
    model.set_sampler(sampler)
    return True


def _aside(directory: RunDirectory) -> pathlib.Path:
    return directory.sampler.with_name("sampler.replaced")


def _put_aside(directory: RunDirectory, record: dict[str, Any] | None) -> None:
    """Makes room for a sampler; a finished one is kept until the new one is finished, too."""
    if record is not None and "sampler" in record:
        shutil.rmtree(_aside(directory), ignore_errors=True)
        directory.sampler.rename(_aside(directory))
    shutil.rmtree(directory.sampler, ignore_errors=True)


def _say(settings: SamplerSettings, start: Position) -> None:
    what = f"sampler: {settings.epochs} epochs of {settings.kind}"
    print(what if not start.step else f"{what}, going on from step {start.step}", flush=True)


def _record(directory: RunDirectory) -> dict[str, Any] | None:
    """Reads what a sampler was fitted to, and how; None if there is none or it is damaged."""
    try:
        record = json.loads((directory.sampler / "sampler.json").read_text(encoding="utf-8"))
        return record if isinstance(record.get("model_step"), int) else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError):
        logging.warning("%s is damaged", directory.sampler / "sampler.json")
        return None


def _write(directory: RunDirectory, record: dict[str, Any]) -> None:
    files.write_text(directory.sampler / "sampler.json", json.dumps(record, indent=1))
