"""The results of a finished run: pictures, sentences, exported models, a summary."""

import dataclasses
import json
import pathlib
import shlex
import shutil
import tempfile
from typing import Any

import tensorflow as tf
from absl import logging

from tf_mvae import files
from tf_mvae.data.pipeline import CACHE_BYTES
from tf_mvae.experiments import registry
from tf_mvae.modality import Modality
from tf_mvae.models import BaseVAE
from tf_mvae.serving import ModelCard, export_saved_model
from tf_mvae.training.averages import averaged
from tf_mvae.training.card import run_card
from tf_mvae.training.checkpoints import Checkpoints, Position
from tf_mvae.training.collapse import collapse_warning
from tf_mvae.training.config import RunConfig
from tf_mvae.training.run_directory import RunDirectory
from tf_mvae.training.sampler import SamplerSettings, attach_run_sampler, fit_run_sampler
from tf_mvae.visualization import sentences_of, write_curves, write_pictures

__all__ = ["draw", "finish", "tell", "write_results"]


def draw(model: BaseVAE, batch: Any, config: RunConfig) -> dict[str, tf.Tensor]:
    """Draws the run's pictures for TensorBoard.

    Args:
        model: The model; the moving averages of its weights are used if there are any.
        batch: A batch of test examples.
        config: The run's configuration.

    Returns:
        Images by name, uint8 `[height, width, 3]`.
    """
    with tempfile.TemporaryDirectory() as folder, averaged(model):
        paths = _write_pictures(model, batch, pathlib.Path(folder), config)
        return {p.stem: tf.io.decode_png(p.read_bytes(), channels=3) for p in paths}


def _write_pictures(
    model: BaseVAE, batch: Any, folder: pathlib.Path, config: RunConfig
) -> list[pathlib.Path]:
    """Writes the pictures of a model without covariates; returns their paths."""
    if model.covariates:
        logging.info("no pictures are drawn, since they depend on the values of the covariates")
        return []
    return write_pictures(model, batch, folder, config.seed, registry.get(config.experiment).tasks)


def tell(model: BaseVAE, batch: Any, seed: int) -> str:
    """Returns sentences that the model generates from test examples; empty if it has no text.

    Args:
        model: The model; the moving averages of its weights are used if there are any.
        batch: A batch of test examples.
        seed: The seed of the samples.
    """
    if model.covariates:
        return ""
    with averaged(model):
        return sentences_of(model, batch, seed=seed)


def finish(
    config: RunConfig,
    directory: RunDirectory,
    model: BaseVAE,
    checkpoints: Checkpoints,
    test_batch: Any,
    steps: int,
    checkpoint_steps: int = 1000,
    cache_bytes: int = CACHE_BYTES,
) -> dict[str, Any]:
    """Writes the results of a finished run, from its best checkpoint, and its summary.

    If the posterior has collapsed, there is a warning on standard error, in TensorBoard and under
    `warnings` in the summary.

    Args:
        config: The run's configuration.
        directory: The run's directory.
        model: The run's model.
        checkpoints: The run's checkpoints.
        test_batch: A batch of test examples.
        steps: The number of optimizer steps of the run.
        checkpoint_steps: Steps between checkpoints when a sampler is fitted.
        cache_bytes: The largest size of a split, in bytes, that is kept in memory.

    Returns:
        The contents of `finished.json`.
    """
    best = checkpoints.restore("best", model_only=True)
    if config.sampler_epochs:
        settings = SamplerSettings(
            config.sampler_epochs,
            kind=config.sampler_kind,
            seed=config.seed,
            guidance=config.sampler_guidance,
        )
        fit_run_sampler(
            config, directory, model, best.step, settings, checkpoint_steps, cache_bytes
        )
    else:
        attach_run_sampler(directory, model, best.step)
    write_results(config, directory, model, best, test_batch)
    warning = collapse_warning(config, best.metrics, model.objective.takes_free_bits)
    summary = {
        "best_checkpoint": dataclasses.asdict(best),
        "epochs": config.epochs,
        "steps": steps,
        "warnings": [] if warning is None else [warning],
    }
    if warning is not None:
        with tf.summary.create_file_writer(str(directory.tensorboard)).as_default(step=steps):
            tf.summary.text("warnings", warning)
    files.write_text(directory.finished, json.dumps(summary, indent=1))
    _print_summary(directory, best, model)
    if warning is not None:
        logging.warning("%s", warning)
    return summary


def write_results(
    config: RunConfig, directory: RunDirectory, model: BaseVAE, best: Position, test_batch: Any
) -> None:
    """Writes the pictures, the `.keras` file and the SavedModel of a run.

    Args:
        config: The run's configuration.
        directory: The run's directory.
        model: The run's model with the weights of its best checkpoint, and its sampler, if any.
        best: The position of the best checkpoint.
        test_batch: A batch of test examples.
    """
    _write_pictures(model, test_batch, directory.pictures, config)
    groups = [m for m in model.modalities if m.mask_shape]
    of_members = [f"{name}_log_likelihood" for group in groups for name in group.column_names]
    write_curves(directory.metric_rows(), directory.pictures / "curves.png", of_members)
    with files.replacing(directory.keras_model) as temporary:
        model.save(temporary)
    card = run_card(config, directory, best.metrics, best.step)
    _replace_saved_model(model, directory, card)


def _replace_saved_model(model: BaseVAE, directory: RunDirectory, card: ModelCard) -> None:
    """Exports the model; an older export (of fewer epochs) stays until the new one is complete."""
    fresh, old = directory.path / ".saved_model.new", directory.path / ".saved_model.old"
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    new = fresh / directory.saved_model.name  # warm-up requests have the directory's name
    export_saved_model(model, new, card)
    if directory.saved_model.exists():
        directory.saved_model.rename(old)
    new.rename(directory.saved_model)
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)


def _print_summary(directory: RunDirectory, best: Position, model: BaseVAE) -> None:
    """Prints the best epoch, the files of the run directory and commands to run next."""
    metrics = best.metrics
    print(
        f"\nfinished. Best epoch {best.epoch}: validation ELBO {metrics['val_elbo']:.2f} nats "
        f"(loss {metrics['val_loss']:.2f}). In {directory.path}/:"
    )
    pictures = ", ".join(_kinds_of_pictures(directory.pictures))
    unwritten = [] if pictures else [directory.pictures]
    unwritten += [directory.sampler] if model.sampler is None else []
    for path, meaning in [
        (directory.flags, "the run's flags; --flagfile with it repeats the run"),
        (directory.pictures, pictures),
        (directory.metrics, "metrics, one line per epoch"),
        (directory.tensorboard, "tensorboard --logdir of this"),
        (directory.checkpoints, "the newest checkpoints and the best"),
        (directory.sampler, "the sampler that latents are drawn from, with its checkpoints"),
        (directory.keras_model, "keras.models.load_model (after import tf_mvae)"),
        (directory.saved_model, "tf.saved_model.load, TensorFlow Serving; needs no tf_mvae"),
    ]:
        if path not in unwritten:
            print(f"  {path.name:14s} {meaning}")
    classes = [m for m in model.modalities if m.likelihood.is_categorical]
    run_dir = f"--run_dir={directory.path}"
    flags = [run_dir, *(f"--condition={m.name}={_one_class(m)}" for m in classes[:1])]
    commands = [["evaluate", run_dir]]
    if not model.covariates:  # `generate` would need their values
        commands.insert(0, ["generate", *flags])
    lines = [shlex.join(["python", "-m", f"tf_mvae.{name}", *rest]) for name, *rest in commands]
    print("next: " + "\n      ".join(lines))


def _kinds_of_pictures(folder: pathlib.Path) -> list[str]:
    """Returns what the pictures of a folder show."""
    names = {path.stem for path in folder.glob("*.png")}
    kinds = {
        "samples": "samples" in names,
        "reconstructions": "reconstructions" in names,
        "each modality from each other one": any(
            "_given_" in name or name.startswith("from_") for name in names
        ),
        "curves": "curves" in names,
    }
    return [kind for kind, is_there in kinds.items() if is_there]


def _one_class(modality: Modality) -> str:
    """Returns the name of some class, for an example command; 7 for ten digits."""
    names = modality.likelihood.class_names
    return names[min(7, len(names) - 1)]
