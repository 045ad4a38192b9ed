"""The latent sampler of a run: fits it to the best checkpoint, and attaches it to the model."""

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
    FlowMatching,
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
        "Epochs in which a sampler p(z | S) is fitted to the trained model, which then "
        "generates from it; 0: no sampler.",
        checks.non_negative_integer,
        is_free=True,
    ),
    Setting(
        "sampler_kind",
        "mixture_flow",
        "The sampler's density: a normalizing flow of a mixture of Gaussians "
        "(mixture_flow) or of one Gaussian (coupling_flow), a velocity field (flow_matching), for "
        "several images, or a mixture density network (mixture_density), which is faster and less "
        "flexible.",
        choices=("coupling_flow", "flow_matching", "mixture_density", "mixture_flow"),
        is_free=True,
    ),
    Setting(
        "sampler_guidance",
        2,
        "Candidates of each latent that is generated from a class, among which the class's decoder "
        "chooses; more show the class more often and are less diverse, 1 is no choice. Of "
        "flow_matching: how strongly all that is given is favoured; 1 is not at all.",
        checks.positive_integer,
        is_free=True,
    ),
)

KINDS = {
    "coupling_flow": CouplingFlow,
    "flow_matching": FlowMatching,
    "mixture_density": MixtureDensity,
    "mixture_flow": MixtureFlow,
}


@dataclasses.dataclass(frozen=True)
class SamplerSettings:
    """The settings of the fit of a run's sampler.

    Attributes:
        epochs: The number of passes over the training split.
        batch_size: The largest number of examples per step.
        learning_rate: Adam's learning rate, with cosine decay to 0.
        kind: One of `KINDS`.
        seed: The seed of weights, order, latents and subsets.
        guidance: The sampler's `guidance`.

    Example:
    ```python
    settings = SamplerSettings(epochs=20, kind="mixture_density")
    settings.learning_rate  # 0.002
    ```
    """

    epochs: int
    batch_size: int = 256
    learning_rate: float = 2e-3
    kind: str = "mixture_flow"
    seed: int = 0
    guidance: int = 2


def fit_run_sampler(
    config: RunConfig,
    directory: RunDirectory,
    model: BaseVAE,
    model_step: int,
    settings: SamplerSettings,
    checkpoint_steps: int = 1000,
    cache_bytes: int = CACHE_BYTES,
) -> None:
    """Fits a sampler to a run's model, or continues an interrupted fit, and attaches it.

    The sampler has its own checkpoints in the run's directory. A finished sampler with the same
    settings, for the same checkpoint of the model, is attached unchanged; one with other settings
    is replaced when the new one is finished.

    Args:
        config: The run's configuration.
        directory: The run's directory.
        model: The run's model with the weights of a checkpoint.
        model_step: The step of this checkpoint.
        settings: The settings of the fit.
        checkpoint_steps: Steps between checkpoints within an epoch.
        cache_bytes: The largest size of a split, in bytes, that is kept in memory.

    Raises:
        UserError: The data are not usable, or the model does not support a sampler.
        Stopped: A signal asked to stop; a checkpoint has been written.
    """
    model.check_takes_sampler()
    feed = _feed(config, settings, cache_bytes)
    trainer = _make_trainer(config, model, settings, feed.steps_per_epoch)
    record = {"model_step": model_step, "settings": dataclasses.asdict(settings)}
    folder = _begin_or_take_up(directory, record)
    checkpoints = Checkpoints(folder / "checkpoints", trainer)
    start = checkpoints.restore() or Position()
    if start.epoch < settings.epochs:
        advice = _advice(directory, settings)
        _fit_from(start, trainer, feed, checkpoints, settings, checkpoint_steps, advice)
    best = checkpoints.restore("best", model_only=True)
    sampler = keras.saving.serialize_keras_object(trainer.sampler)
    _write(folder, {**record, "sampler": sampler, "metrics": best.metrics})
    _put_in_place(directory, folder)
    model.set_sampler(trainer.sampler)


def _feed(config: RunConfig, settings: SamplerSettings, cache_bytes: int) -> Feed:
    """Returns a run's batches, with the batch size and the seed of the sampler's settings."""
    splits = {name: incomplete_split(config, name) for name in ("train", "validation")}
    size = min(settings.batch_size, splits["train"].num_examples)
    own = config.replace(
        epochs=settings.epochs, batch_size=size, seed=settings.seed, input_streams=1
    )
    return Feed(own, splits, cache_bytes=cache_bytes)


def _make_trainer(
    config: RunConfig, model: BaseVAE, settings: SamplerSettings, steps_per_epoch: int
) -> SamplerTrainer:
    """Returns a compiled trainer of a new sampler, and removes the model's former sampler."""
    keras.utils.set_random_seed(settings.seed)
    model.set_sampler(None)
    sizes = {"num_covariates": model.num_covariates} if model.num_covariates else {}
    sampler = KINDS[settings.kind](
        model.latent_dim, model.num_columns, guidance=settings.guidance, **sizes
    )
    trainer = SamplerTrainer(model, sampler, settings.seed)
    optimizer = make_optimizer(settings.learning_rate, steps_per_epoch * settings.epochs)
    trainer.compile(optimizer, jit_compile=bool(config.jit_compile))
    return trainer


def _begin_or_take_up(directory: RunDirectory, record: dict[str, Any]) -> pathlib.Path:
    """Returns the folder to fit in: one that has a sampler with this record, or a new one.

    A finished sampler with another record stays in its place, in use, while the new one is fitted.
    """
    own, new = directory.sampler, _sibling(directory, "new")
    found = _record(own)
    if _is_of(found, record):
        return own
    if _is_of(_record(new), record):
        return new
    place = new if _is_finished(found) else own
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    _write(place, record)
    return place


def _is_of(found: dict[str, Any] | None, record: dict[str, Any]) -> bool:
    """Returns whether a record that was read has the same model step and settings."""
    # Records of earlier versions have fewer settings, which then had their defaults.
    defaults = dataclasses.asdict(SamplerSettings(epochs=0))
    return found is not None and record == {
        "model_step": found["model_step"],
        "settings": {**defaults, **found["settings"]},
    }


def _is_finished(record: dict[str, Any] | None) -> bool:
    return record is not None and "sampler" in record


def _put_in_place(directory: RunDirectory, folder: pathlib.Path) -> None:
    """Makes a finished sampler the run's own, and removes what it replaces."""
    replaced = _sibling(directory, "replaced")
    shutil.rmtree(replaced, ignore_errors=True)
    if folder != directory.sampler:
        if directory.sampler.exists():
            directory.sampler.rename(replaced)
        folder.rename(directory.sampler)
    for path in (replaced, _sibling(directory, "new")):
        shutil.rmtree(path, ignore_errors=True)


def _sibling(directory: RunDirectory, suffix: str) -> pathlib.Path:
    """Returns the folder of a sampler that is not the run's own: `new` or `replaced`."""
    return directory.sampler.with_name(f"{directory.sampler.name}.{suffix}")


def _advice(directory: RunDirectory, settings: SamplerSettings) -> str:
    """Returns what to try if the fit diverges."""
    return (
        f"Fit the sampler with a lower learning rate: python -m tf_mvae.fit_sampler "
        f"--run_dir={directory.path} --learning_rate={settings.learning_rate / 10:g}"
    )


def _fit_from(
    start: Position,
    trainer: SamplerTrainer,
    feed: Feed,
    checkpoints: Checkpoints,
    settings: SamplerSettings,
    checkpoint_steps: int,
    advice: str,
) -> None:
    """Fits from a position to the end, with checkpoints and a progress bar."""
    _say(settings, start)
    steps = feed.steps_per_epoch
    writer = CheckpointWriter(checkpoints, start, steps, checkpoint_steps, advice=advice)
    is_nats = trainer.sampler.has_fast_density
    title, unit = ("sampler: -log p(z | S)", " nats") if is_nats else ("sampler: loss", "")
    progress = Progress(settings.epochs * steps, start, settings.epochs, (title, "loss"), unit)
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
        model: The run's model with the weights of a checkpoint.
        model_step: The step of this checkpoint.

    Returns:
        Whether a sampler was attached.

    Raises:
        UserError: The sampler has no checkpoint.
    """
    record = _record(directory.sampler)
    if not _is_finished(record):
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


def _say(settings: SamplerSettings, start: Position) -> None:
    what = f"sampler: {settings.epochs} epochs of {settings.kind}"
    print(what if not start.step else f"{what}, going on from step {start.step}", flush=True)


def _record(folder: pathlib.Path) -> dict[str, Any] | None:
    """Reads a sampler's model step, settings and configuration; None if missing or damaged."""
    try:
        record = json.loads((folder / "sampler.json").read_text(encoding="utf-8"))
        whole = isinstance(record.get("model_step"), int) and isinstance(record["settings"], dict)
        return record if whole else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError, KeyError):
        logging.warning("%s is damaged", folder / "sampler.json")
        return None


def _write(folder: pathlib.Path, record: dict[str, Any]) -> None:
    files.write_text(folder / "sampler.json", json.dumps(record, indent=1))
