"""Evaluation: what a trained model is worth, as analyses by name."""

from collections.abc import Callable
from typing import Any, NamedTuple

from tf_mvae.data.tasks import possible
from tf_mvae.evaluation import (
    accuracy,
    attributes,
    coherence,
    imputation,
    likelihood,
    transcription,
    transformations,
    translation,
    translation_baseline,
)
from tf_mvae.evaluation.importance_sampling import Estimate, ImportanceSampler
from tf_mvae.evaluation.questions import Question
from tf_mvae.evaluation.report import table, update_report
from tf_mvae.evaluation.settings import Settings

__all__ = [
    "ANALYSES",
    "Analysis",
    "Estimate",
    "ImportanceSampler",
    "Question",
    "Settings",
    "table",
    "update_report",
    "usual_analyses",
]


class Analysis(NamedTuple):
    """One analysis.

    Attributes:
        analyze: From a run and settings to results by name.
        num_samples: Samples of the latent for an example, if nothing else is said.
        trains: Whether it trains networks to compare with, for `Settings.baseline_steps`.
    """

    analyze: Callable[[Any, Settings], dict[str, Any]]
    num_samples: int
    trains: bool = False


ANALYSES = {
    "accuracy": Analysis(accuracy.analyze, 16),
    "attributes": Analysis(attributes.analyze, 16, trains=True),
    "coherence": Analysis(coherence.analyze, 1),
    "imputation": Analysis(imputation.analyze, 200),
    "log_likelihood": Analysis(likelihood.analyze, 1000),
    "transcription": Analysis(transcription.analyze, 4),
    "transformations": Analysis(transformations.analyze, 16, trains=True),
    "translation": Analysis(translation.analyze, 8),
    "translation_baseline": Analysis(translation_baseline.analyze, 1, trains=True),
    "weight_variance": Analysis(likelihood.analyze_variance, 1000),
}


def usual_analyses(run: Any) -> tuple[str, ...]:
    """Returns the names of the analyses of a run where none are asked for.

    They are its experiment's; of a model that cannot do what these measure (one of a single
    modality, one that cannot do without another, or one without the pictures of any task), its
    log-likelihood.

    Args:
        run: The run (`tf_mvae.training.load_run`).
    """
    names = [modality.name for modality in run.model.modalities]
    tasks = run.experiment.tasks
    several = len(names) > 1 or getattr(run.experiment, "table", None) is not None
    fits = several and not run.model.conditions and (not tasks or possible(tasks, names))
    return run.experiment.analyses if fits else ("log_likelihood",)
