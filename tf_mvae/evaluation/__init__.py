"""Evaluation: what a trained model is worth, as analyses by name (`ANALYSES`)."""

from tf_mvae.evaluation.importance_sampling import Estimate, ImportanceSampler
from tf_mvae.evaluation.questions import Question
from tf_mvae.evaluation.registry import Analysis, analysis, usual_analyses
from tf_mvae.evaluation.report import table, update_report
from tf_mvae.evaluation.run import Run
from tf_mvae.evaluation.settings import Settings
from tf_mvae.settings import ANALYSES

__all__ = [
    "ANALYSES",
    "Analysis",
    "Estimate",
    "ImportanceSampler",
    "Question",
    "Run",
    "Settings",
    "analysis",
    "table",
    "update_report",
    "usual_analyses",
]
