"""What a run leaves for people and programs: pictures, sentences, models, a summary."""

import dataclasses
import json
import pathlib
import tempfile
from typing import Any

import tensorflow as tf

from tf_mvae.distributions.likelihoods import Categorical
from tf_mvae.experiments import registry
from tf_mvae.models import BaseVAE
from tf_mvae.serving import export_saved_model
from tf_mvae.training.averages import averaged
from tf_mvae.training.card import run_card
from tf_mvae.training.checkpoints import Checkpoints, Position
from tf_mvae.training.config import RunConfig
from tf_mvae.training.run_directory import RunDirectory, write_atomically
from tf_mvae.visualization import sentences_of, write_curves, write_pictures

__all__ = ["draw", "finish", "tell"]


def draw(model: BaseVAE, batch: Any, config: RunConfig) -> dict[str, tf.Tensor]:
    """Draws the run's pictures for TensorBoard."""
    with tempfile.TemporaryDirectory() as folder, averaged(model):
        paths = _write_pictures(model, batch, pathlib.Path(folder), config)
        return {p.stem: tf.io.decode_png(p.read_bytes(), channels=3) for p in paths}


def _write_pictures(
    model: BaseVAE, batch: Any, folder: pathlib.Path, config: RunConfig
) -> list[pathlib.Path]:
    return write_pictures(model, batch, folder, config.seed, registry.get(config.experiment).tasks)


def tell(model: BaseVAE, batch: Any, seed: int) -> str:
    """Has the model say what it makes of some test examples."""
    with averaged(model):
        return sentences_of(model, batch, seed=seed)


def finish(
    config: RunConfig,
    directory: RunDirectory,
    model: BaseVAE,
    checkpoints: Checkpoints,
    test_batch: Any,
    steps: int,
) -> dict[str, Any]:
    """Writes what a finished run leaves, all from the best checkpoint."""
    best = checkpoints.restore("best", model_only=True)
    _write_pictures(model, test_batch, directory.pictures, config)
    groups = [m for m in model.modalities if m.mask_shape]
    of_members = [f"{name}_log_likelihood" for group in groups for name in group.column_names]
    write_curves(directory.metric_rows(), directory.pictures / "curves.png", of_members)
    model.save(directory.path / ".model.tmp.keras")
    (directory.path / ".model.tmp.keras").replace(directory.keras_model)
    if not directory.saved_model.exists():
        card = run_card(config, directory, best.metrics, best.step)
        export_saved_model(model, directory.saved_model, card)
    summary = {
        "best_checkpoint": dataclasses.asdict(best),
        "epochs": config.epochs,
        "steps": steps,
    }
    write_atomically(directory.finished, json.dumps(summary, indent=1))
    _print_summary(directory, best, model)
    return summary


def _print_summary(directory: RunDirectory, best: Position, model: BaseVAE) -> None:
    metrics = best.metrics
    print(
        f"\nfinished. Best epoch {best.epoch}: validation ELBO {metrics['val_elbo']:.2f} nats "
        f"(loss {metrics['val_loss']:.2f}). In {directory.path}/:"
    )
    for path, meaning in [
        (directory.flags, "the run's flags; --flagfile with it repeats the run"),
        (directory.pictures, "samples, reconstructions, each modality from each other one, curves"),
        (directory.metrics, "metrics, a line an epoch"),
        (directory.tensorboard, "tensorboard --logdir of this"),
        (directory.checkpoints, "the newest checkpoints and the best"),
        (directory.keras_model, "keras.models.load_model (after import tf_mvae)"),
        (directory.saved_model, "tf.saved_model.load, TensorFlow Serving; needs no tf_mvae"),
    ]:
        print(f"  {path.name:14s} {meaning}")
    classes = [m.name for m in model.modalities if isinstance(m.likelihood, Categorical)]
    condition = f" --condition='{classes[0]}=7'" if classes else ""
    print(
        f"next: python -m tf_mvae.generate --run_dir={directory.path}{condition}\n"
        f"      python -m tf_mvae.evaluate --run_dir={directory.path}"
    )
