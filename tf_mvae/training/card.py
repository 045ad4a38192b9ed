"""The model card of a run."""

from collections.abc import Mapping
from typing import Any

from tf_mvae.evaluation.report import read_report
from tf_mvae.experiments import registry
from tf_mvae.serving import ModelCard
from tf_mvae.training.config import RunConfig
from tf_mvae.training.run_directory import RunDirectory

__all__ = ["run_card"]


def run_card(
    config: RunConfig,
    directory: RunDirectory,
    metrics: Mapping[str, float],
    step: int,
) -> ModelCard:
    """Returns the model card of a run's model.

    Args:
        config: The run's configuration. Directories on this machine are not included.
        directory: The run's directory; results of `tf_mvae.evaluate` in it are included.
        metrics: The metrics at the checkpoint, by name.
        step: The optimizer step of the checkpoint.
    """
    experiment = registry.get(config.experiment)
    flags = {setting.name: value for setting, value in config.items() if not setting.is_place}
    flags = {"experiment": config.experiment, "model": config.model, **flags}
    measured = {_metric(name): value for name, value in sorted(metrics.items())}
    return ModelCard(
        data={
            "experiment": experiment.name,
            "description": experiment.description,
            "splits": "trained on the training split; the checkpoint was chosen on the "
            "validation split",
        },
        flags={name: value for name, value in flags.items() if value not in (None, {})},
        metrics={"optimizer step": step, **measured, **_evaluated(directory)},
        licence=experiment.licence,
    )


def _metric(name: str) -> str:
    """Returns a metric's name for the card, such as `validation elbo (nats an example)`."""
    split = "validation" if name.startswith("val_") else "training"
    return f"{split} {name.removeprefix('val_')} (nats an example)"


def _evaluated(directory: RunDirectory) -> dict[str, Any]:
    """Returns the values in `evaluation.json`, by split, analysis and result."""
    found = {}
    for analysis, part in (read_report(directory.path / "evaluation.json") or {}).items():
        split = part.get("settings", {}).get("split", "")
        for question, result in part.get("results", {}).items():
            if isinstance(result, dict) and "value" in result:
                found[f"{split} {analysis}: {question}".strip()] = result["value"]
    return found
