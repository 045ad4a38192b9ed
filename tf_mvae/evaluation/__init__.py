"""Evaluation of trained models: log-likelihoods, predictions, generated examples.

Each analysis is registered in `ANALYSES` under the name that `--analysis` takes.
"""

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
