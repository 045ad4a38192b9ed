"""Evaluation: what a trained model is worth, as analyses by name."""

from collections.abc import Callable
from typing import Any

from tf_mvae.evaluation import accuracy, coherence
from tf_mvae.evaluation.report import table, update_report
from tf_mvae.evaluation.settings import Settings

__all__ = ["ANALYSES", "Settings", "table", "update_report"]

ANALYSES: dict[str, Callable[[Any, Settings], dict[str, Any]]] = {
    "accuracy": accuracy.analyze,
    "coherence": coherence.analyze,
}
